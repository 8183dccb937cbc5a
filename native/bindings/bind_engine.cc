#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <optional>
#include <tuple>

#include "base/error.h"
#include "bindings/bind_array.h"
#include "bindings/bind_handle.h"
#include "bindings/bindings.h"
#include "engine/engine.h"
#include "transport/registry.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ringsync {
namespace {

/// The timeline's lane of what the calling threads do.
constexpr char kTrainLane[] = "train";

/// What a call asks for beside its array.
struct Terms {
  ReduceOp op = ReduceOp::kSum;
  int root = 0;
  int peer = kAllRanks;
  std::vector<uint64_t> splits;
  double prescale = 1;
  double postscale = 1;
};

/// One call as it comes from Python.
struct Call {
  Collective collective = Collective::kBarrier;
  nb::handle array;  // not looked at for a barrier
  nb::handle place;  // the public function's name
  nb::handle name;   // None: ranks meet by order
  nb::handle timeout_s;
  const Terms& terms;

  nb::handle label() const { return name.is_none() ? place : name; }
};

/// An engine and the store it met through, which its transport goes on using.
class BoundEngine {
 public:
  BoundEngine(std::shared_ptr<Store> store, int rank, int size, const std::string& transport,
              std::string algorithm, double caller_spin_us, double engine_spin_us, double timeout_s,
              double call_timeout_s)
      : store_(std::move(store)), call_timeout_s_(call_timeout_s) {
    const GilRelease release;
    const Deadline deadline = deadline_after(timeout_s);
    engine_ = std::make_unique<Engine>(
        EngineConfig{std::move(algorithm), caller_spin_us, engine_spin_us},
        make_transport(transport, *store_, rank, size, deadline), rank, size, deadline);
  }

  Engine& get() { return *engine_; }

  /// Seconds that a call may take unless it says otherwise.
  double call_timeout_s() const { return call_timeout_s_; }

  /// Holds `owner` until an operation is done, whatever becomes of the caller's references. It is
  /// done here, in one stroke with the submission, because Ctrl-C may strike between two lines of
  /// Python. With the interpreter held.
  void keep(std::shared_ptr<Handle> handle, nb::object owner) {
    // Ends last: letting go of an owner may run Python, which may come back here.
    std::vector<Kept> done;
    while (!kept_.empty() && kept_.front().handle->is_done()) {
      done.push_back(std::move(kept_.front()));
      kept_.pop_front();
    }
    if (owner.is_none() || handle->is_done()) return;
    if (kept_.size() >= sweep_at_) {
      // One that is not done for long, a receive for instance, must not keep all behind it.
      const auto first_done = std::stable_partition(
          kept_.begin(), kept_.end(), [](const Kept& kept) { return !kept.handle->is_done(); });
      done.insert(done.end(), std::move_iterator(first_done), std::move_iterator(kept_.end()));
      kept_.erase(first_done, kept_.end());
      sweep_at_ = std::max<size_t>(kFewKept, 2 * kept_.size());
    }
    kept_.push_back({std::move(handle), std::move(owner)});
  }

 private:
  struct Kept {
    std::shared_ptr<Handle> handle;
    nb::object owner;
  };

  static constexpr size_t kFewKept = 16;  // not worth a sweep

  std::shared_ptr<Store> store_;
  const double call_timeout_s_;
  std::deque<Kept> kept_;  // outlives the engine
  size_t sweep_at_ = kFewKept;
  std::unique_ptr<Engine> engine_;
};

Deadline deadline_of(nb::handle timeout_s, double otherwise_s) {
  double seconds = otherwise_s;
  if (PyFloat_CheckExact(timeout_s.ptr())) {
    seconds = PyFloat_AS_DOUBLE(timeout_s.ptr());
  } else if (!timeout_s.is_none()) {
    throw RefusedError("[engine] timeout_s is no float. Pass one, or None.");
  }
  if (!(seconds > 0))
    throw RefusedError("[engine] timeout_s is not above 0. Pass seconds above 0.");
  return deadline_after(seconds);
}

std::optional<std::string> text_of(nb::handle name) {
  if (name.is_none()) return std::nullopt;
  Py_ssize_t length = 0;
  const char* const text =
      PyUnicode_Check(name.ptr()) ? PyUnicode_AsUTF8AndSize(name.ptr(), &length) : nullptr;
  if (text != nullptr) return std::string(text, static_cast<size_t>(length));
  PyErr_Clear();
  throw RefusedError("[engine] the name is no text. Pass str, or None.");
}

/// The request without its array and name.
Request make_request(const BoundEngine& engine, const Call& call) {
  Request request;
  request.collective = call.collective;
  request.op = call.terms.op;
  request.root = call.terms.root;
  request.peer = call.terms.peer;
  request.splits = call.terms.splits;
  request.prescale = call.terms.prescale;
  request.postscale = call.terms.postscale;
  request.deadline = deadline_of(call.timeout_s, engine.call_timeout_s());
  request.shape = {0};  // a barrier moves nothing
  return request;
}

/// Gives the request its array; returns what keeps it alive.
nb::handle set_array(Request& request, nb::handle array) {
  const bool is_receive = request.collective == Collective::kSend && request.root == request.peer;
  const bool is_written = request.collective == Collective::kAllreduce ||
                          request.collective == Collective::kBroadcast || is_receive;
  ArrayView view = view_of(array, is_written ? Access::kWrite : Access::kRead);
  request.data = view.bytes;
  request.dtype = view.dtype;
  request.shape = std::move(view.shape);
  return view.owner;
}

using Start = std::shared_ptr<Handle> (Engine::*)(Request);

/// Hands a call to the engine by submit or call, and keeps its array.
template <Start start>
BoundHandle begin(BoundEngine& engine, const Call& call) {
  Request request = make_request(engine, call);
  request.name = text_of(call.name);
  nb::object owner = nb::none();
  if (call.collective != Collective::kBarrier) owner = nb::borrow(set_array(request, call.array));
  std::shared_ptr<Handle> handle;
  {
    const GilRelease release;
    handle = (engine.get().*start)(std::move(request));
  }
  engine.keep(handle, owner);
  return {std::move(handle), std::move(owner), nb::borrow(call.label()), engine.get().pid()};
}

using StartAll = std::shared_ptr<Handle> (Engine::*)(std::vector<Request>);

/// One request for each array of a list, handed over in one stroke: `name.0`, `name.1` and so on
/// where the caller chose a name.
template <StartAll start_all>
BoundHandle begin_all(BoundEngine& engine, const Call& call) {
  if (!PyList_CheckExact(call.array.ptr()))
    throw RefusedError("[engine] no list. Pass one of arrays.");
  const Request common = make_request(engine, call);
  const std::optional<std::string> name = text_of(call.name);
  const nb::list arrays = nb::borrow<nb::list>(call.array);
  std::vector<Request> requests(arrays.size(), common);
  nb::list owners;
  for (size_t i = 0; i < requests.size(); ++i) {
    if (name) requests[i].name = *name + "." + std::to_string(i);
    owners.append(set_array(requests[i], arrays[i]));
    requests[i].group_index = static_cast<uint32_t>(i);
    requests[i].group_count = static_cast<uint32_t>(requests.size());
  }
  std::shared_ptr<Handle> handle;
  {
    const GilRelease release;
    handle = (engine.get().*start_all)(std::move(requests));
  }
  engine.keep(handle, owners);
  return {std::move(handle), std::move(owners), nb::borrow(call.label()), engine.get().pid()};
}

/// Waits for a blocking call, whatever becomes of it, and returns its result.
template <BoundHandle (*begin_call)(BoundEngine&, const Call&)>
nb::object run(BoundEngine& engine, int collective, nb::handle array, nb::handle place,
               nb::handle name, nb::handle timeout_s, const Terms& terms) {
  EventLog& events = engine.get().events();
  const int64_t start_ns = events.is_on() ? now_ns() : 0;
  const Call call{static_cast<Collective>(collective), array, place, name, timeout_s, terms};
  const BoundHandle handle = begin_call(engine, call);
  // Whoever stands still in a blocking call does not compute, wherever the call is made.
  const auto record = [&] {
    if (start_ns == 0) return;
    events.record(kTrainLane, "wait", start_ns, now_ns(), nb::str(call.label()).c_str());
  };
  try {
    handle.wait(std::nullopt);
  } catch (...) {
    record();
    throw;
  }
  record();
  return handle.result();
}

template <BoundHandle (*begin_call)(BoundEngine&, const Call&)>
nb::object submit(BoundEngine& engine, nb::handle handle_type, int collective, nb::handle array,
                  nb::handle place, nb::handle name, nb::handle timeout_s, const Terms& terms) {
  const Call call{static_cast<Collective>(collective), array, place, name, timeout_s, terms};
  return make_handle(handle_type, begin_call(engine, call));
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

}  // namespace

void bind_engine(nb::module_& module) {
  nb::exception<RefusedError>(module, "RefusedError",
                              nb::module_::import_("ringsync.errors").attr("ConfigError"));
  nb::class_<Terms>(module, "Terms", "What a call asks for beside its array.")
      .def(
          "__init__",
          [](Terms* terms, int op, int root, int peer, std::vector<uint64_t> splits,
             double prescale, double postscale) {
            std::construct_at(terms, static_cast<ReduceOp>(op), root, peer, std::move(splits),
                              prescale, postscale);
          },
          "op"_a = 1, "root"_a = 0, "peer"_a = kAllRanks, "splits"_a = std::vector<uint64_t>{},
          "prescale"_a = 1.0, "postscale"_a = 1.0);
  nb::class_<BoundEngine>(module, "Engine", "The engine of one rank.")
      .def(nb::init<std::shared_ptr<Store>, int, int, const std::string&, std::string, double,
                    double, double, double>(),
           "store"_a, "rank"_a, "size"_a, "transport"_a, "algorithm"_a = "",
           "caller_spin_us"_a = 0.0, "engine_spin_us"_a = 0.0, "timeout_s"_a = 30.0,
           "call_timeout_s"_a = 30.0)
      .def("run", &run<&begin<&Engine::call>>, "collective"_a, "array"_a.none(), "place"_a,
           "name"_a.none(), "timeout_s"_a.none(), "terms"_a,
           "Perform a call on this thread where nothing else is going on, and return its result.")
      .def("run_all", &run<&begin_all<&Engine::call_all>>, "collective"_a, "arrays"_a, "place"_a,
           "name"_a.none(), "timeout_s"_a.none(), "terms"_a,
           "Like run, for each array of a list, handed over in one stroke, or none.")
      .def("submit", &submit<&begin<&Engine::submit>>, "handle_type"_a, "collective"_a,
           "array"_a.none(), "place"_a, "name"_a.none(), "timeout_s"_a.none(), "terms"_a,
           "Queue a call and return its handle, of `handle_type`, at once.")
      .def("submit_all", &submit<&begin_all<&Engine::submit_all>>, "handle_type"_a, "collective"_a,
           "arrays"_a, "place"_a, "name"_a.none(), "timeout_s"_a.none(), "terms"_a,
           "Like submit, for each array of a list, handed over in one stroke, or none.")
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
