#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <tuple>

#include "base/error.h"
#include "bindings/bind_array.h"
#include "bindings/bindings.h"
#include "engine/engine.h"
#include "transport/registry.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ringsync {
namespace {

/// An engine and the store it met through, which its transport goes on using.
class BoundEngine {
 public:
  BoundEngine(std::shared_ptr<Store> store, int rank, int size, const std::string& transport,
              std::string algorithm, double caller_spin_us, double engine_spin_us, double timeout_s)
      : store_(std::move(store)) {
    const GilRelease release;
    const Deadline deadline = deadline_after(timeout_s);
    engine_ = std::make_unique<Engine>(
        EngineConfig{std::move(algorithm), caller_spin_us, engine_spin_us},
        make_transport(transport, *store_, rank, size, deadline), rank, size, deadline);
  }

  Engine& get() { return *engine_; }

  /// Holds an array until its operation is done, whatever becomes of the caller's references. It is
  /// done here, in one stroke with the submission, because Ctrl-C may strike between two lines of
  /// Python. With the interpreter held.
  void keep(std::shared_ptr<Handle> handle, const std::optional<AnyArray>& array) {
    while (!kept_.empty() && kept_.front().handle->is_done()) kept_.pop_front();
    if (!array || handle->is_done()) return;
    if (kept_.size() >= sweep_at_) {
      // One that is not done for long, a receive for instance, must not keep all behind it.
      std::erase_if(kept_, [](const Kept& kept) { return kept.handle->is_done(); });
      sweep_at_ = std::max<size_t>(kFewKept, 2 * kept_.size());
    }
    kept_.push_back({std::move(handle), *array});
  }

 private:
  struct Kept {
    std::shared_ptr<Handle> handle;
    AnyArray array;
  };

  static constexpr size_t kFewKept = 16;  // not worth a sweep

  std::shared_ptr<Store> store_;
  std::deque<Kept> kept_;  // outlives the engine
  size_t sweep_at_ = kFewKept;
  std::unique_ptr<Engine> engine_;
};

/// What few requests say. Behind one argument, because each costs a small call 0.1 us.
struct Details {
  std::vector<uint64_t> splits;
  int dtype = kOwnDtype;
  double prescale = 1;
  double postscale = 1;
  int peer = kAllRanks;
};

Request make_request(int collective, const std::optional<AnyArray>& array, std::string name,
                     bool is_named, int op, int root, double timeout_s, const Details& details) {
  Request request;
  request.collective = static_cast<Collective>(collective);
  request.name = std::move(name);
  request.is_named = is_named;
  request.op = static_cast<ReduceOp>(op);
  request.root = root;
  request.peer = details.peer;
  request.prescale = details.prescale;
  request.postscale = details.postscale;
  request.splits = details.splits;
  request.deadline = deadline_after(timeout_s);
  request.shape = {0};  // a barrier moves nothing
  if (array) {
    ArrayView view = view_of(*array, details.dtype);
    request.data = view.bytes;
    request.dtype = view.dtype;
    request.shape = std::move(view.shape);
  }
  return request;
}

using Start = std::shared_ptr<Handle> (Engine::*)(Request);

/// Hands a request to the engine by submit or call, and keeps its array.
template <Start start>
std::shared_ptr<Handle> begin(BoundEngine& engine, int collective,
                              const std::optional<AnyArray>& array, std::string name, bool is_named,
                              int op, int root, double timeout_s, const Details* details) {
  Request request = make_request(collective, array, std::move(name), is_named, op, root, timeout_s,
                                 details == nullptr ? Details{} : *details);
  std::shared_ptr<Handle> handle;
  {
    const GilRelease release;
    handle = (engine.get().*start)(std::move(request));
  }
  engine.keep(handle, array);
  return handle;
}

using StartAll = std::vector<std::shared_ptr<Handle>> (Engine::*)(std::vector<Request>);

/// One request of the same kind for each array, handed over in one stroke: `name.0`, `name.1` and
/// so on where the caller chose a name.
template <StartAll start_all>
std::vector<std::shared_ptr<Handle>> begin_all(BoundEngine& engine, int collective,
                                               const std::vector<AnyArray>& arrays,
                                               const std::string& name, bool is_named, int op,
                                               int root, double timeout_s,
                                               const std::vector<const Details*>& details) {
  if (details.size() != arrays.size()) {
    throw ConfigError("[group] " + std::to_string(details.size()) + " details for " +
                      std::to_string(arrays.size()) + " arrays. Give one for each.");
  }
  std::vector<Request> requests;
  for (const AnyArray& array : arrays) {
    const std::string member = is_named ? name + "." + std::to_string(requests.size()) : name;
    requests.push_back(make_request(collective, array, member, is_named, op, root, timeout_s,
                                    *details[requests.size()]));
    requests.back().group_index = static_cast<uint32_t>(requests.size() - 1);
    requests.back().group_count = static_cast<uint32_t>(arrays.size());
  }
  std::vector<std::shared_ptr<Handle>> handles;
  {
    const GilRelease release;
    handles = (engine.get().*start_all)(std::move(requests));
  }
  for (size_t i = 0; i < handles.size(); ++i) engine.keep(handles[i], arrays[i]);
  return handles;
}

/// True once done; false when `timeout_s` passed first. Ctrl-C raises.
bool wait(Handle& handle, std::optional<double> timeout_s) {
  const Deadline deadline = timeout_s ? deadline_after(*timeout_s) : kNever;
  while (!handle.is_done()) {
    // First, because the call that is waited for may have been left for a signal's sake.
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    if (Clock::now() >= deadline) return false;
    const GilRelease release;
    handle.wait(std::min(deadline, next_signal_check()));
  }
  return true;
}

std::tuple<ByteArray, std::vector<int64_t>> result_of(const Handle& handle, size_t item_bytes) {
  const Result& result = handle.result();
  size_t bytes = item_bytes;
  for (const int64_t length : result.shape) bytes *= static_cast<size_t>(length);
  return {wrap_bytes(result.data, bytes), result.shape};
}

/// Calls, waits and raises in one stroke: each way through the door costs a small call 0.1 us. The
/// handle where it holds a result, else nothing.
std::shared_ptr<Handle> run(BoundEngine& engine, int collective,
                            const std::optional<AnyArray>& array, std::string name, bool is_named,
                            int op, int root, double timeout_s, const Details* details) {
  std::shared_ptr<Handle> handle = begin<&Engine::call>(engine, collective, array, std::move(name),
                                                        is_named, op, root, timeout_s, details);
  if (!handle->is_done()) wait(*handle, std::nullopt);
  if (handle->error()) std::rethrow_exception(handle->error());
  return handle->result().data ? std::move(handle) : nullptr;
}

using EventTuple = std::tuple<std::string, std::string, int64_t, int64_t, std::string, uint64_t>;

std::vector<EventTuple> take_events(BoundEngine& engine) {
  std::vector<EventTuple> tuples;
  for (Event& event : engine.get().events().take()) {
    tuples.emplace_back(std::move(event.lane), std::move(event.name), event.start_ns, event.end_ns,
                        std::move(event.tensor), event.bytes);
  }
  return tuples;
}

void bind_handle(nb::module_& module) {
  nb::class_<Handle>(module, "Handle", "Completion of one request.")
      .def("done", &Handle::is_done)
      .def("wait", &wait, "timeout_s"_a = nb::none(),
           "Wait until done; False when the time passed first.")
      .def(
          "check",
          [](const Handle& handle) {
            if (handle.error()) std::rethrow_exception(handle.error());
          },
          "Raise the request's error, if it failed. Only once done.")
      .def("result", &result_of, "item_bytes"_a,
           "Bytes and shape of a result of its own. Only once done.")
      .def(
          "times",
          [](const Handle& handle) {
            const Times& times = handle.times();
            return std::make_tuple(times.submitted_ns, times.started_ns, times.agreed_ns,
                                   times.done_ns);
          },
          "Nanoseconds of submission, start, agreement and completion. Only once done.");
}

}  // namespace

void bind_engine(nb::module_& module) {
  bind_handle(module);
  nb::class_<Details>(module, "Details", "What few requests say.")
      .def(nb::init<std::vector<uint64_t>, int, double, double, int>(),
           "splits"_a = std::vector<uint64_t>{}, "dtype"_a = kOwnDtype, "prescale"_a = 1.0,
           "postscale"_a = 1.0, "peer"_a = kAllRanks);
  nb::class_<BoundEngine>(module, "Engine", "The engine of one rank.")
      .def(nb::init<std::shared_ptr<Store>, int, int, const std::string&, std::string, double,
                    double, double>(),
           "store"_a, "rank"_a, "size"_a, "transport"_a, "algorithm"_a = "",
           "caller_spin_us"_a = 0.0, "engine_spin_us"_a = 0.0, "timeout_s"_a = 30.0)
      .def("submit", &begin<&Engine::submit>, "collective"_a, "array"_a.none(), "name"_a,
           "is_named"_a, "op"_a, "root"_a, "timeout_s"_a, "details"_a = nb::none(),
           "Queue a request and return at once.")
      .def("submit_all", &begin_all<&Engine::submit_all>, "collective"_a, "arrays"_a, "name"_a,
           "is_named"_a, "op"_a, "root"_a, "timeout_s"_a, "details"_a,
           "Queue a request for each array, or none, and return at once.")
      .def("call_all", &begin_all<&Engine::call_all>, "collective"_a, "arrays"_a, "name"_a,
           "is_named"_a, "op"_a, "root"_a, "timeout_s"_a, "details"_a,
           "Like submit_all, on this thread.")
      .def("call", &begin<&Engine::call>, "collective"_a, "array"_a.none(), "name"_a, "is_named"_a,
           "op"_a, "root"_a, "timeout_s"_a, "details"_a = nb::none(),
           "Like submit, but done on this thread when nothing else is going on.")
      .def("run", &run, "collective"_a, "array"_a.none(), "name"_a, "is_named"_a, "op"_a, "root"_a,
           "timeout_s"_a, "details"_a = nb::none(),
           "Like call, but wait and raise as well; the handle only where it holds a result.")
      .def(
          "allocate",
          [](BoundEngine& engine, size_t bytes) {
            std::shared_ptr<std::byte> memory;
            {
              const GilRelease release;
              memory = engine.get().allocate(bytes);
            }
            return wrap_bytes(std::move(memory), bytes);
          },
          "size_bytes"_a, "Zeroed bytes in registered memory.")
      .def(
          "shutdown",
          [](BoundEngine& engine, const std::string& cause) {
            const GilRelease release;
            engine.get().shutdown(cause);
          },
          "cause"_a)
      .def("start_events", [](BoundEngine& engine) { engine.get().events().start(); })
      .def("stop_events", [](BoundEngine& engine) { engine.get().events().stop(); })
      .def("take_events", &take_events,
           "Recorded events: lane, name, start_ns, end_ns, tensor, bytes.")
      .def("dropped_events", [](BoundEngine& engine) { return engine.get().events().dropped(); })
      .def(
          "record_event",
          [](BoundEngine& engine, const std::string& lane, const std::string& name,
             int64_t start_ns, int64_t end_ns, const std::string& tensor, uint64_t bytes) {
            engine.get().events().record(lane, name, start_ns, end_ns, tensor, bytes);
          },
          "lane"_a, "name"_a, "start_ns"_a, "end_ns"_a, "tensor"_a, "size_bytes"_a);
  module.def("transport_names", &transport_names);
}

}  // namespace ringsync
