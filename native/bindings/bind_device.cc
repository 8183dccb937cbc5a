#include "bindings/bind_device.h"

#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <memory>
#include <span>
#include <tuple>
#include <vector>

#include "bindings/bindings.h"

namespace nb = nanobind;

namespace ringsync {
namespace {

/// As NumPy writes types; bfloat16 is one of two bytes that it does not know.
const char* type_text(Dtype dtype) {
  switch (dtype) {
    case Dtype::kUint8:
      return "|u1";
    case Dtype::kInt8:
      return "|i1";
    case Dtype::kBool:
      return "|b1";
    case Dtype::kInt16:
      return "<i2";
    case Dtype::kInt32:
      return "<i4";
    case Dtype::kInt64:
      return "<i8";
    case Dtype::kFloat16:
      return "<f2";
    case Dtype::kFloat32:
      return "<f4";
    case Dtype::kFloat64:
      return "<f8";
    case Dtype::kBfloat16:
      return "<V2";
  }
  __builtin_unreachable();
}

using Described = std::tuple<int, uintptr_t, int, std::vector<int64_t>, uintptr_t>;

}  // namespace

ArrayView view_on_device(nb::handle described, nb::handle array) {
  Described facts;
  if (!nb::try_cast(described, facts)) {
    throw RefusedError("[array] it is described in no known way. Pass an array.");
  }
  const auto& [kind, address, dtype, shape, stream] = facts;
  const bool is_dtype = dtype >= 0 && dtype <= UINT8_MAX && is_known(static_cast<Dtype>(dtype));
  size_t bytes = is_dtype ? size_bytes(static_cast<Dtype>(dtype)) : 0;
  bool is_sound = is_dtype && kind >= 0 && kind <= UINT8_MAX;
  for (const int64_t length : shape) {
    is_sound = is_sound && length >= 0 &&
               !__builtin_mul_overflow(bytes, static_cast<size_t>(length), &bytes);
  }
  if (!is_sound) {
    throw RefusedError("[array] its device, dtype or shape is none that there is. Pass another.");
  }
  return {.bytes = {reinterpret_cast<std::byte*>(address), bytes},
          .dtype = static_cast<Dtype>(dtype),
          .device = static_cast<DeviceKind>(kind),
          .place = std::make_shared<Place>(Place{.stream = reinterpret_cast<void*>(stream)}),
          .shape = Shape(std::span(shape)),
          .owner = array};
}

nb::dict DeviceMemory::interface() const {
  nb::list shape;
  for (const int64_t length : result_.shape) shape.append(length);
  nb::dict facts;
  facts["shape"] = nb::tuple(shape);
  facts["typestr"] = type_text(result_.dtype);
  facts["data"] = nb::make_tuple(reinterpret_cast<uintptr_t>(result_.data.get()), false);
  facts["version"] = 3;
  facts["strides"] = nb::none();
  facts["stream"] = nb::none();
  return facts;
}

void bind_device_arrays(nb::module_& module) {
  nb::class_<KeptMemory>(module, "KeptMemory",
                         "What one engine of a process leaves of its device's memory to the next.")
      .def(nb::init<>());
  nb::class_<DeviceMemory>(module, "DeviceMemory",
                           "A result on a device, for a library to make an array of.")
      .def_prop_ro("__cuda_array_interface__", &DeviceMemory::interface)
      .def("__dlpack_device__", [](const DeviceMemory& memory) {
        return nb::make_tuple(static_cast<int>(DeviceKind::kCuda), memory.ordinal());
      });
}

}  // namespace ringsync
