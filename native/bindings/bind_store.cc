#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include <memory>

#include "bindings/bindings.h"
#include "rendezvous/meeting.h"
#include "rendezvous/memory_store.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ringsync {
namespace {

/// Lets Ctrl-C end a wait for other ranks.
void check_signals() {
  const nb::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

/// A store together with its server, if it is this process that serves it.
class MetStore final : public Store {
 public:
  explicit MetStore(Meeting meeting) : meeting_(std::move(meeting)) {}

  void set(const std::string& key, StoreValue value) override {
    meeting_.store->set(key, std::move(value));
  }
  StoreValue get(const std::string& key, Deadline deadline) override {
    return meeting_.store->get(key, deadline);
  }
  int64_t add(const std::string& key, int64_t amount) override {
    return meeting_.store->add(key, amount);
  }
  bool remove(const std::string& key) override { return meeting_.store->remove(key); }

 private:
  Meeting meeting_;
};

std::shared_ptr<Store> meet_ranks(const std::string& directory, int rank, int size,
                                  double timeout_s, double reply_s) {
  const GilRelease release;
  return std::make_shared<MetStore>(
      meet(directory, rank, size, timeout_s, reply_s, &check_signals));
}

}  // namespace

void bind_store(nb::module_& module) {
  nb::class_<Store>(module, "Store", "Key-value store through which ranks find one another.")
      .def(
          "set",
          [](Store& store, const std::string& key, const nb::bytes& value) {
            std::string bytes(value.c_str(), value.size());
            const GilRelease release;
            store.set(key, {std::move(bytes), {}, {}});
          },
          "key"_a, "value"_a)
      .def(
          "get",
          [](Store& store, const std::string& key, double timeout_s) {
            std::string bytes;
            {
              const GilRelease release;
              bytes = store.get(key, deadline_after(timeout_s)).bytes;
            }
            return nb::bytes(bytes.data(), bytes.size());
          },
          "key"_a, "timeout_s"_a)
      .def("add", &Store::add, "key"_a, "amount"_a, nb::call_guard<GilRelease>())
      .def("remove", &Store::remove, "key"_a, nb::call_guard<GilRelease>());
  module.def(
      "memory_store", []() -> std::shared_ptr<Store> { return std::make_shared<MemoryStore>(); },
      "A store for ranks that are threads of this process.");
  module.def("meet", &meet_ranks, "directory"_a, "rank"_a, "size"_a, "timeout_s"_a,
             "reply_s"_a = 30.0,
             "Meet the other ranks of this host in a directory; returns their common store.");
}

}  // namespace ringsync
