#include "bindings/call.h"

#include <algorithm>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "bindings/bind_array.h"
#include "bindings/bind_handle.h"
#include "bindings/bindings.h"

namespace nb = nanobind;

namespace ringsync {
namespace {

/// The timeline's lane of what the calling threads do.
constexpr char kTrainLane[] = "train";

Deadline deadline_of(nb::handle timeout_s, double otherwise_s, int64_t from_ns) {
  double seconds = otherwise_s;
  if (PyFloat_CheckExact(timeout_s.ptr())) {
    seconds = PyFloat_AS_DOUBLE(timeout_s.ptr());
  } else if (!timeout_s.is_none()) {
    throw RefusedError("[engine] timeout_s is no float. Pass one, or None.");
  }
  if (!(seconds > 0)) {
    throw RefusedError("[engine] timeout_s is not above 0. Pass seconds above 0.");
  }
  return deadline_after(seconds, from_ns);
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
  request.group = call.group;
  request.op = call.terms.op;
  request.root = call.terms.root;
  request.peer = call.terms.peer;
  request.is_receiver = call.collective == Collective::kSend && call.terms.root == call.terms.peer;
  request.splits = call.terms.splits;
  request.prescale = call.terms.prescale;
  request.postscale = call.terms.postscale;
  request.scaled_by = call.terms.scaled_by;
  request.step = call.terms.step;
  request.codec = call.terms.codec;
  request.submitted_ns = now_ns();
  request.deadline = deadline_of(call.timeout_s, engine.call_timeout_s(), request.submitted_ns);
  request.shape = {0};  // a barrier moves nothing
  return request;
}

/// Gives the request its array; returns what keeps it alive.
nb::handle set_array(Request& request, nb::handle array) {
  ArrayView view = view_of(array, is_written(request) ? Access::kWrite : Access::kRead);
  request.data = view.bytes;
  request.dtype = view.dtype;
  request.device = view.device;
  request.place = std::move(view.place);
  request.shape = view.shape;
  return view.owner;
}

/// Makes the engine start a call, and keeps what it works on.
template <typename Submit>
BoundHandle hand_over(BoundEngine& engine, const Call& call, nb::object owner,
                      const Submit& submit) {
  std::list<Keeper::Kept> kept;
  kept.push_back({owner, nullptr});
  std::shared_ptr<Handle>& handle = kept.front().handle;
  {
    const GilRelease release;
    handle = submit();
  }
  BoundHandle bound(handle, std::move(owner), nb::borrow(call.label()), engine);
  engine.keeper()->keep(std::move(kept));
  return bound;
}

/// Hands a call to the engine, to work on at once or in time, and keeps its array.
BoundHandle begin_single(BoundEngine& engine, const Call& call, bool is_blocking) {
  Request request = make_request(engine, call);
  request.name = text_of(call.name);
  nb::object owner = nb::none();
  if (call.collective != Collective::kBarrier) owner = nb::borrow(set_array(request, call.array));
  return hand_over(engine, call, std::move(owner), [&] {
    return is_blocking ? engine.get().call(std::move(request))
                       : engine.get().submit(std::move(request));
  });
}

BoundHandle begin_list(BoundEngine& engine, const Call& call, bool is_blocking) {
  if (!PyList_CheckExact(call.array.ptr())) {
    throw RefusedError("[engine] no list. Pass one of arrays.");
  }
  const Request common = make_request(engine, call);
  const std::optional<std::string> name = text_of(call.name);
  const auto arrays = nb::borrow<nb::list>(call.array);
  std::vector<Request> requests(std::max<size_t>(arrays.size(), 1), common);
  nb::list owners;
  for (size_t i = 0; i < requests.size(); ++i) {
    if (name) requests[i].name = *name + "." + std::to_string(i);
    requests[i].group_index = static_cast<uint32_t>(i);
    requests[i].group_count = static_cast<uint32_t>(arrays.size());
    if (i < arrays.size()) owners.append(set_array(requests[i], arrays[i]));
  }
  return hand_over(engine, call, std::move(owners), [&] {
    return is_blocking ? engine.get().call_all(std::move(requests))
                       : engine.get().submit_all(std::move(requests));
  });
}

BoundHandle begin(BoundEngine& engine, const Call& call, Form form, bool is_blocking) {
  return form == Form::kList ? begin_list(engine, call, is_blocking)
                             : begin_single(engine, call, is_blocking);
}

}  // namespace

nb::object run(BoundEngine& engine, const Call& call, Form form) {
  EventLog& events = engine.get().events();
  const int64_t start_ns = events.is_on() ? now_ns() : 0;
  const BoundHandle handle = begin(engine, call, form, true);
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

nb::object submit(BoundEngine& engine, nb::handle handle_type, const Call& call, Form form) {
  nb::object handle = allocate_handle(handle_type);  // first: nothing fails once it is submitted
  fill_handle(handle, begin(engine, call, form, false));
  return handle;
}

}  // namespace ringsync
