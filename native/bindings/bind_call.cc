#include "bindings/bind_call.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bindings/bind_array.h"
#include "bindings/bind_handle.h"
#include "bindings/bindings.h"

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

Deadline deadline_of(nb::handle timeout_s, double otherwise_s) {
  double seconds = otherwise_s;
  if (PyFloat_CheckExact(timeout_s.ptr())) {
    seconds = PyFloat_AS_DOUBLE(timeout_s.ptr());
  } else if (!timeout_s.is_none()) {
    throw RefusedError("[engine] timeout_s is no float. Pass one, or None.");
  }
  if (!(seconds > 0)) {
    throw RefusedError("[engine] timeout_s is not above 0. Pass seconds above 0.");
  }
  return deadline_after(seconds);
}

std::optional<std::string> text_of(nb::handle name) {
  if (name.is_none()) return std::nullopt;
  Py_ssize_t length = 0;
  const char* const text =
      PyUnicode_Check(name.ptr()) ? PyUnicode_AsUTF8AndSize(name.ptr(), &length) : nullptr;
  if (text != nullptr) return std::string(text, static_cast<size_t>(length));
  refuse_on({PyExc_UnicodeEncodeError});
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

/// Makes the engine start a call, and keeps what it works on.
template <typename Submit>
BoundHandle hand_over(BoundEngine& engine, const Call& call, nb::object owner,
                      const Submit& submit) {
  std::list<BoundEngine::Kept> kept;
  kept.push_back({owner, nullptr});
  std::shared_ptr<Handle>& handle = kept.front().handle;
  {
    const GilRelease release;
    handle = submit();
  }
  BoundHandle bound(handle, std::move(owner), nb::borrow(call.label()), engine.get().pid());
  engine.keep(std::move(kept));
  return bound;
}

using Start = std::shared_ptr<Handle> (Engine::*)(Request&&);

/// Hands a call to the engine by submit or call, and keeps its array.
template <Start start>
BoundHandle begin(BoundEngine& engine, const Call& call) {
  Request request = make_request(engine, call);
  request.name = text_of(call.name);
  nb::object owner = nb::none();
  if (call.collective != Collective::kBarrier) owner = nb::borrow(set_array(request, call.array));
  return hand_over(engine, call, std::move(owner),
                   [&] { return (engine.get().*start)(std::move(request)); });
}

using StartAll = std::shared_ptr<Handle> (Engine::*)(std::vector<Request>);

/// One request for each array of a list, handed over in one stroke: `name.0`, `name.1` and so on
/// where the caller chose a name.
template <StartAll start_all>
BoundHandle begin_all(BoundEngine& engine, const Call& call) {
  if (!PyList_CheckExact(call.array.ptr())) {
    throw RefusedError("[engine] no list. Pass one of arrays.");
  }
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
  return hand_over(engine, call, std::move(owners),
                   [&] { return (engine.get().*start_all)(std::move(requests)); });
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
  nb::object handle = allocate_handle(handle_type);  // first: nothing fails once it is submitted
  const Call call{static_cast<Collective>(collective), array, place, name, timeout_s, terms};
  fill_handle(handle, begin_call(engine, call));
  return handle;
}

}  // namespace

void bind_calls(nb::module_& module, nb::class_<BoundEngine>& engine) {
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
  engine
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
           "Like submit, for each array of a list, handed over in one stroke, or none.");
}

}  // namespace ringsync
