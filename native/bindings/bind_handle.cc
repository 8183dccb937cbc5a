#include "bindings/bind_handle.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "bindings/bind_array.h"
#include "bindings/bind_device.h"
#include "bindings/bindings.h"
#include "engine/request.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ringsync {
namespace {

/// As the caller gets it: what was `given`, unless the call made another.
nb::object array_of(const Result& result, nb::object given) {
  if (!result.data) return given;
  if (result.device) {
    // Which library makes an array of it, that module knows.
    const nb::object make = nb::module_::import_("ringsync.device_arrays").attr("from_device");
    return make(nb::cast(DeviceMemory(result)), given);
  }
  nb::list shape;
  for (const int64_t length : result.shape) shape.append(length);
  const nb::object data = nb::cast(wrap_bytes(result.data, result.bytes));
  return data.attr("view")(given.attr("dtype")).attr("reshape")(shape);
}

}  // namespace

BoundHandle::BoundHandle(std::shared_ptr<Handle> handle, nb::object array, nb::object label,
                         const BoundEngine& engine)
    : handle_(std::move(handle)),
      array_(std::move(array)),
      label_(std::move(label)),
      keeper_(engine.keeper()),
      pid_(engine.get().pid()) {}

bool BoundHandle::wait(std::optional<double> timeout_s) const {
  return wait_done(timeout_s ? deadline_after(*timeout_s) : kNever);
}

bool BoundHandle::wait_on(uintptr_t stream, std::optional<double> timeout_s) const {
  const Deadline deadline = timeout_s ? deadline_after(*timeout_s) : kNever;
  if (!wait_until([this] { return handle_->is_put(); },
                  [this](Deadline until) { handle_->wait_put(until); }, deadline)) {
    return false;
  }
  for (const auto& [device, work] : handle_->on_devices()) {
    if (!wait_until([&] { return work->is_settled() || handle_->is_done(); },
                    [&](Deadline until) { work->wait_put(until); }, deadline)) {
      return false;
    }
    if (handle_->is_done()) break;
    if (!work->is_put()) return wait_done(deadline);  // it has failed, and all end for that
    device->wait_for(reinterpret_cast<void*>(stream), work->end());
  }
  return !handle_->is_done() || raise_if_failed();
}

bool BoundHandle::wait_done(Deadline deadline) const {
  return wait_until([this] { return handle_->is_done(); },
                    [this](Deadline until) { handle_->wait(until); }, deadline) &&
         raise_if_failed();
}

/// True once `until` holds; false at the deadline. Ctrl-C raises.
template <typename Until, typename Sleep>
bool BoundHandle::wait_until(const Until& until, const Sleep& sleep, Deadline deadline) const {
  if (!handle_->is_done() && ::getpid() != pid_) {
    throw NotInitializedError("[wait] " + title() +
                              " belongs to the process that forked this one. Wait there.");
  }
  while (!until()) {
    // First, because the call that is waited for may have been left for a signal's sake.
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    if (Clock::now() >= deadline) return false;
    const GilRelease release;
    sleep(std::min(deadline, next_signal_check()));
  }
  return true;
}

/// Once done.
bool BoundHandle::raise_if_failed() const {
  if (const auto keeper = keeper_.lock()) keeper->sweep();
  if (handle_->error()) std::rethrow_exception(handle_->error());
  return true;
}

std::string BoundHandle::title() const {
  const std::string label = nb::str(label_).c_str();
  const std::optional<uint64_t>& number = handle_->number();
  return number ? in_quotes(unnamed_label(*number, 0, 1)) + " of " + label : in_quotes(label);
}

nb::object BoundHandle::result() const {
  if (!handle_->has_results()) return array_;
  if (!PyList_CheckExact(array_.ptr())) return array_of(handle_->result(), array_);
  const auto arrays = nb::borrow<nb::list>(array_);
  nb::list results;
  for (size_t i = 0; i < arrays.size(); ++i) {
    results.append(array_of(handle_->result(i), nb::borrow(arrays[i])));
  }
  return results;
}

std::vector<uint64_t> BoundHandle::rows_from() const {
  if (!is_done()) {
    throw ConfigError("[handle] rows were asked for before the call was done. Wait first.");
  }
  if (handle_->error() || !handle_->has_results()) return {};
  return handle_->result().rows_from;
}

nb::object allocate_handle(nb::handle type) {
  if (!nb::type_check(type) || nb::type_info(type) != typeid(BoundHandle)) {
    throw ConfigError("[handle] the type is no Handle. Correct the caller.");
  }
  return nb::inst_alloc(type);
}

void fill_handle(nb::handle empty, BoundHandle&& handle) {
  std::construct_at(nb::inst_ptr<BoundHandle>(empty), std::move(handle));
  nb::inst_mark_ready(empty);
}

void bind_handle(nb::module_& module) {
  nb::class_<BoundHandle>(module, "Handle", "Completion of one call.")
      .def("_is_done", &BoundHandle::is_done)
      .def("_wait", &BoundHandle::wait, "timeout_s"_a.none(),
           "Wait until done, and raise the call's error; False when the time passed first.")
      .def("_wait_on", &BoundHandle::wait_on, "stream"_a, "timeout_s"_a.none(),
           "Wait until devices do the rest, and order a stream behind it; else like _wait.")
      .def("_result", &BoundHandle::result, "The array with the result. Only once done.")
      .def(
          "_times",
          [](const BoundHandle& handle) {
            if (!handle.is_done()) {
              throw ConfigError(
                  "[handle] times were asked for before the call was done. Wait first.");
            }
            const Times& times = handle.times();
            return std::make_tuple(times.submitted_ns, times.started_ns, times.agreed_ns,
                                   times.done_ns);
          },
          "Nanoseconds of submission, start, agreement and completion. Throws before it is done.")
      .def("_rows_from", &BoundHandle::rows_from,
           "Of an alltoall: how many rows came from each rank. Throws before it is done.")
      .def("_title", &BoundHandle::title, "What messages call it.");
}

}  // namespace ringsync
