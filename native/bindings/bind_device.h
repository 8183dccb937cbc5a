#pragma once

// Arrays on devices at the door: what their libraries tell of them, and what they are told of
// results there. The processor touches none of it.

#include <nanobind/nanobind.h>

#include <utility>

#include "bindings/bind_array.h"
#include "engine/handle.h"

namespace ringsync {

/// A caller's `array` as arrays.py describes it: kind of device, address, number of the dtype,
/// lengths of dimensions, and the stream whose work so far makes its values, 0 for the default one.
/// Throws RefusedError for anything else.
ArrayView view_on_device(nanobind::handle described, nanobind::handle array);

/// A result, kept as long as Python has it.
class DeviceMemory {
 public:
  explicit DeviceMemory(Result result) : result_(std::move(result)) {}

  /// Version 3 of the protocol. It names no stream: whoever has it has waited for the call, or has
  /// ordered his own stream behind it.
  nanobind::dict interface() const;
  int ordinal() const { return result_.device.value_or(0); }

 private:
  Result result_;
};

}  // namespace ringsync
