#pragma once

// Arrays at the door: any DLPack or buffer object becomes an address, a length, a dtype, a shape.

#include <nanobind/ndarray.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/dtype.h"
#include "base/span.h"

namespace ringsync {

using AnyArray = nanobind::ndarray<nanobind::ro, nanobind::device::cpu>;
using ByteArray = nanobind::ndarray<nanobind::numpy, uint8_t, nanobind::ndim<1>>;

struct ArrayView {
  MutableByteSpan bytes;
  Dtype dtype = Dtype::kUint8;
  std::vector<int64_t> shape;
};

/// The array's own dtype.
inline constexpr int kOwnDtype = -1;

/// Throws ConfigError for a dtype without a number and for strides. The array stays the caller's,
/// who also sees to it that what is written to is writable. `dtype`: kOwnDtype, or that of
/// bfloat16, which NumPy cannot export and which comes as uint16.
ArrayView view_of(const AnyArray& array, int dtype = kOwnDtype);

/// A NumPy array of bytes that keeps `data` alive.
ByteArray wrap_bytes(std::shared_ptr<std::byte> data, size_t bytes);

}  // namespace ringsync
