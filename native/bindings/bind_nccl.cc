#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bindings/bindings.h"
#include "device/nccl_communicator.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ringsync {
namespace {

/// Memory of a device: its address and its length in bytes.
using Memory = std::pair<uintptr_t, size_t>;

MutableByteSpan span_of(const Memory& memory) {
  return {reinterpret_cast<std::byte*>(memory.first), memory.second};
}

NcclLibrary load(const std::string& chosen, const std::vector<std::string>& candidates) {
  const GilRelease release;
  return {chosen, {candidates.begin(), candidates.end()}};
}

nb::bytes make_id(const NcclLibrary& library) {
  const nccl::UniqueId id = NcclCommunicator::make_id(library);
  return nb::bytes(id.internal, sizeof(id.internal));
}

/// Every call lets go of the interpreter: ranks of one process wait for one another's.
class BoundCommunicator {
 public:
  BoundCommunicator(const NcclLibrary& library, const nb::bytes& unique_id, int rank, int size,
                    int max_ctas) {
    nccl::UniqueId id{};
    if (unique_id.size() != sizeof(id)) {
      throw ConfigError("[nccl] an id has 128 bytes, not " + std::to_string(unique_id.size()) +
                        ". Pass what make_id() has returned.");
    }
    std::memcpy(&id, unique_id.c_str(), sizeof(id));
    const GilRelease release;
    communicator_ = std::make_unique<NcclCommunicator>(
        library, id, NcclCommunicator::Place{.rank = rank, .size = size, .max_ctas = max_ctas});
  }
  BoundCommunicator(const BoundCommunicator&) = delete;
  BoundCommunicator& operator=(const BoundCommunicator&) = delete;
  ~BoundCommunicator() { close(); }

  bool is_ready() { return get().is_ready(); }
  void abort() {
    const GilRelease release;
    get().abort();
  }
  /// No call may follow.
  void close() {
    const GilRelease release;
    communicator_.reset();
  }

  void allreduce(const Memory& from, const Memory& to, int dtype, int op, uintptr_t stream,
                 double timeout_s) {
    const GilRelease release;
    get().allreduce(span_of(from), span_of(to), static_cast<Dtype>(dtype),
                    static_cast<ReduceOp>(op), turn_of(stream, timeout_s));
  }
  void reduce_scatter(const Memory& from, const Memory& to, int dtype, int op, uintptr_t stream,
                      double timeout_s) {
    const GilRelease release;
    get().reduce_scatter(span_of(from), span_of(to), static_cast<Dtype>(dtype),
                         static_cast<ReduceOp>(op), turn_of(stream, timeout_s));
  }
  void allgather(const Memory& from, const Memory& to, uintptr_t stream, double timeout_s) {
    const GilRelease release;
    get().allgather(span_of(from), span_of(to), turn_of(stream, timeout_s));
  }
  void broadcast(const Memory& from, const Memory& to, int root, uintptr_t stream,
                 double timeout_s) {
    const GilRelease release;
    get().broadcast(span_of(from), span_of(to), root, turn_of(stream, timeout_s));
  }
  void alltoall(const std::vector<Memory>& from, const std::vector<Memory>& to, uintptr_t stream,
                double timeout_s) {
    const GilRelease release;
    std::vector<ByteSpan> sent(from.size());
    std::vector<MutableByteSpan> received(to.size());
    std::ranges::transform(from, sent.begin(), span_of);
    std::ranges::transform(to, received.begin(), span_of);
    get().alltoall(sent, received, turn_of(stream, timeout_s));
  }

 private:
  NcclCommunicator& get() const {
    if (!communicator_) throw NotInitializedError("[nccl] it is closed. Call nothing more on it.");
    return *communicator_;
  }
  static NcclCommunicator::Turn turn_of(uintptr_t stream, double timeout_s) {
    return {reinterpret_cast<void*>(stream), deadline_after(timeout_s)};
  }

  std::unique_ptr<NcclCommunicator> communicator_;
};

}  // namespace

void bind_nccl(nb::module_& module) {
  nb::class_<NcclLibrary>(module, "NcclLibrary", "NCCL as it was found on this machine.")
      .def(nb::new_(&load), "chosen"_a, "candidates"_a)
      .def_prop_ro("path", [](const NcclLibrary& library) { return library.path().string(); })
      .def_prop_ro("version", &NcclLibrary::version)
      .def_prop_ro("features", &NcclLibrary::features)
      .def("make_id", &make_id);
  nb::class_<BoundCommunicator>(module, "NcclCommunicator", "One rank's end of a communicator.")
      .def(nb::init<const NcclLibrary&, const nb::bytes&, int, int, int>(), "library"_a,
           "unique_id"_a, "rank"_a, "size"_a, "max_ctas"_a = 0)
      .def("is_ready", &BoundCommunicator::is_ready)
      .def("abort", &BoundCommunicator::abort)
      .def("close", &BoundCommunicator::close)
      .def("allreduce", &BoundCommunicator::allreduce, "source"_a, "to"_a, "dtype"_a, "op"_a,
           "stream"_a, "timeout_s"_a)
      .def("reduce_scatter", &BoundCommunicator::reduce_scatter, "source"_a, "to"_a, "dtype"_a,
           "op"_a, "stream"_a, "timeout_s"_a)
      .def("allgather", &BoundCommunicator::allgather, "source"_a, "to"_a, "stream"_a,
           "timeout_s"_a)
      .def("broadcast", &BoundCommunicator::broadcast, "source"_a, "to"_a, "root"_a, "stream"_a,
           "timeout_s"_a)
      .def("alltoall", &BoundCommunicator::alltoall, "sources"_a, "to"_a, "stream"_a,
           "timeout_s"_a);
  module.def(
      "has_nccl_type", [](int dtype) { return has_nccl_type(static_cast<Dtype>(dtype)); },
      "dtype"_a, "Whether NCCL adds up such values.");
}

}  // namespace ringsync
