#include "bindings/bind_array.h"

#include <utility>

#include "base/error.h"

namespace nb = nanobind;

namespace ringsync {
namespace {

Dtype dtype_of(const nb::dlpack::dtype& type, int stated) {
  const auto code = static_cast<nb::dlpack::dtype_code>(type.code);
  if (stated != kOwnDtype) {
    const bool is_bfloat16 = stated == static_cast<int>(Dtype::kBfloat16) && type.lanes == 1 &&
                             code == nb::dlpack::dtype_code::UInt && type.bits == 16;
    if (is_bfloat16) return Dtype::kBfloat16;
    throw ConfigError("[array] dtype number " + std::to_string(stated) + " was stated for " +
                      std::to_string(type.bits) +
                      " bits; only uint16 may stand for another, bfloat16. State none.");
  }
  if (type.lanes == 1) {
    if (code == nb::dlpack::dtype_code::Float && type.bits == 16) return Dtype::kFloat16;
    if (code == nb::dlpack::dtype_code::Float && type.bits == 32) return Dtype::kFloat32;
    if (code == nb::dlpack::dtype_code::Float && type.bits == 64) return Dtype::kFloat64;
    if (code == nb::dlpack::dtype_code::Int && type.bits == 8) return Dtype::kInt8;
    if (code == nb::dlpack::dtype_code::Int && type.bits == 16) return Dtype::kInt16;
    if (code == nb::dlpack::dtype_code::Int && type.bits == 32) return Dtype::kInt32;
    if (code == nb::dlpack::dtype_code::Int && type.bits == 64) return Dtype::kInt64;
    if (code == nb::dlpack::dtype_code::UInt && type.bits == 8) return Dtype::kUint8;
    if (code == nb::dlpack::dtype_code::Bool && type.bits == 8) return Dtype::kBool;
  }
  throw ConfigError("[array] DLPack type code " + std::to_string(type.code) + " with " +
                    std::to_string(type.bits) +
                    " bits is not supported. Use float16, float32, float64, int8, int16, int32, "
                    "int64, uint8 or bool.");
}

bool is_contiguous(const AnyArray& array) {
  int64_t expected = 1;
  for (size_t i = array.ndim(); i-- > 0;) {
    if (array.shape(i) != 1 && array.stride(i) != expected) return false;
    expected *= static_cast<int64_t>(array.shape(i));
  }
  return true;
}

}  // namespace

ArrayView view_of(const AnyArray& array, int dtype) {
  ArrayView view;
  view.dtype = dtype_of(array.dtype(), dtype);
  for (size_t i = 0; i < array.ndim(); ++i) {
    view.shape.push_back(static_cast<int64_t>(array.shape(i)));
  }
  if (array.size() > 0 && !is_contiguous(array)) {
    throw ConfigError("[array] the array has strides. Pass a C-contiguous copy.");
  }
  auto* const data = static_cast<std::byte*>(const_cast<void*>(array.data()));
  view.bytes = {data, array.nbytes()};
  return view;
}

ByteArray wrap_bytes(std::shared_ptr<std::byte> data, size_t bytes) {
  std::byte* const address = data.get();
  auto owner = std::make_unique<std::shared_ptr<std::byte>>(std::move(data));
  const nb::capsule capsule(owner.get(), [](void* pointer) noexcept {
    const std::unique_ptr<std::shared_ptr<std::byte>> released(
        static_cast<std::shared_ptr<std::byte>*>(pointer));
  });
  static_cast<void>(owner.release());
  return ByteArray(reinterpret_cast<uint8_t*>(address), {bytes}, capsule);
}

}  // namespace ringsync
