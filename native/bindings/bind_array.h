#pragma once

// Arrays at the door: what exports a buffer becomes an address, a length, a dtype, a shape.

#include <nanobind/ndarray.h>

#include <cstdint>
#include <initializer_list>
#include <memory>

#include "base/device_kind.h"
#include "base/dtype.h"
#include "base/error.h"
#include "base/shape.h"
#include "base/span.h"
#include "engine/request.h"

namespace ringsync {

using ByteArray = nanobind::ndarray<nanobind::numpy, uint8_t, nanobind::ndim<1>>;

/// The door takes ordinary arguments only, at full speed. What it refuses is looked at more closely
/// in Python, which makes it ordinary or says what is wrong with it.
class RefusedError : public ConfigError {
 public:
  using ConfigError::ConfigError;
};

/// Where Python has raised one of `kinds`, the argument is refused: clears it and returns, for the
/// caller to throw RefusedError. Whatever else Python has raised is thrown.
void refuse_on(std::initializer_list<PyObject*> kinds);

enum class Access { kRead, kWrite };

struct ArrayView {
  MutableByteSpan bytes;
  Dtype dtype = Dtype::kUint8;
  DeviceKind device = DeviceKind::kCpu;
  /// Of one on a device, unless its kind is all that is known.
  std::shared_ptr<Place> place;
  Shape shape;
  /// What keeps the memory alive and is given back as the result.
  nanobind::handle owner;
};

/// `array` is a NumPy array, C-contiguous, aligned, of a dtype with a number; or, for what NumPy
/// does not export, a tuple of such an array of its bits, its dtype's number and the array itself;
/// or, of what lies on a device, a tuple of None, what view_on_device() takes or no more than the
/// device's kind, and the array itself; in the latter case the view has no bytes.
/// Throws RefusedError for anything else, and where `access` is kWrite for what is read-only.
ArrayView view_of(nanobind::handle array, Access access);

/// A NumPy array of bytes that keeps `data` alive.
ByteArray wrap_bytes(std::shared_ptr<std::byte> data, size_t bytes);

}  // namespace ringsync
