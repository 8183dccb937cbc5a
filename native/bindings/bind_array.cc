#include "bindings/bind_array.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "bindings/bind_device.h"

namespace nb = nanobind;

namespace ringsync {
namespace {

/// What an object exports, for as long as it is looked at.
class Export {
 public:
  Export(nb::handle object, Access access) {
    const int wanted =
        PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | (access == Access::kWrite ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object.ptr(), &buffer_, wanted) == 0) return;
    refuse_on({PyExc_BufferError, PyExc_ValueError, PyExc_TypeError});
    throw RefusedError(
        "[array] it exports no such memory as is wanted. Pass a C-contiguous array of a dtype that "
        "is supported, writable where it is written to.");
  }
  Export(const Export&) = delete;
  Export& operator=(const Export&) = delete;
  ~Export() { PyBuffer_Release(&buffer_); }

  const Py_buffer& operator*() const { return buffer_; }

 private:
  Py_buffer buffer_{};
};

/// By the struct module's letter; long and long long have two for one size.
std::optional<Dtype> dtype_of(const Py_buffer& buffer) {
  std::string_view format = buffer.format == nullptr ? "" : buffer.format;
  // Its own byte order may be spelled out.
  constexpr char kOwnOrder = std::endian::native == std::endian::little ? '<' : '>';
  if (format.size() == 2 && (format[0] == kOwnOrder || format[0] == '=')) format.remove_prefix(1);
  if (format.size() != 1) return std::nullopt;
  switch (format[0]) {
    case 'e':
      return Dtype::kFloat16;
    case 'f':
      return Dtype::kFloat32;
    case 'd':
      return Dtype::kFloat64;
    case 'b':
      return Dtype::kInt8;
    case 'h':
      return Dtype::kInt16;
    case 'i':
      return Dtype::kInt32;
    case 'l':
    case 'q':
      if (buffer.itemsize == 8) return Dtype::kInt64;
      return buffer.itemsize == 4 ? std::optional(Dtype::kInt32) : std::nullopt;
    case 'B':
      return Dtype::kUint8;
    case '?':
      return Dtype::kBool;
    default:
      return std::nullopt;
  }
}

/// Not isinstance: a subclass may mean something else by its values. Other exporters may move their
/// memory as soon as they are no longer looked at.
bool is_numpy_array(nb::handle object) {
  const PyTypeObject* const type = Py_TYPE(object.ptr());
  // Made in C: what Python makes may have any name.
  return !PyType_HasFeature(Py_TYPE(object.ptr()), Py_TPFLAGS_HEAPTYPE) &&
         std::strcmp(type->tp_name, "numpy.ndarray") == 0;
}

/// A view holds what its array is a view of, or the array itself where that is the owner.
bool is_view_of(nb::handle view, nb::handle array) {
  if (!is_numpy_array(view) || !is_numpy_array(array)) return false;
  const nb::object base = view.attr("base");
  return base.is(array) || (!base.is_none() && base.is(array.attr("base")));
}

/// Which dtype the bits of a tuple's array are of.
Dtype stated_dtype(nb::handle number, const Py_buffer& buffer) {
  const bool is_bfloat16 = PyLong_CheckExact(number.ptr()) &&
                           PyLong_AsLong(number.ptr()) == static_cast<long>(Dtype::kBfloat16) &&
                           buffer.format != nullptr && std::strcmp(buffer.format, "H") == 0;
  if (is_bfloat16) return Dtype::kBfloat16;
  throw RefusedError(
      "[array] a dtype was stated that the bits are not of; only uint16 may stand for another, "
      "bfloat16. State none.");
}

/// Of an array that is not described its device's kind alone is told, and no rank works on it.
ArrayView view_elsewhere(nb::handle number, nb::handle array) {
  if (PyTuple_CheckExact(number.ptr())) return view_on_device(number, array);
  const long kind = PyLong_CheckExact(number.ptr()) ? PyLong_AsLong(number.ptr()) : -1;
  refuse_on({PyExc_OverflowError});
  if (kind < 0 || kind > UINT8_MAX || kind == static_cast<long>(DeviceKind::kCpu)) {
    throw RefusedError("[array] its device has no number. Pass an array.");
  }
  return {.bytes = {},
          .dtype = Dtype::kUint8,
          .device = static_cast<DeviceKind>(kind),
          .place = nullptr,
          .shape = {0},
          .owner = array};
}

}  // namespace

void refuse_on(std::initializer_list<PyObject*> kinds) {
  if (PyErr_Occurred() == nullptr) return;
  const auto is_raised = [](PyObject* kind) { return PyErr_ExceptionMatches(kind) != 0; };
  if (!std::ranges::any_of(kinds, is_raised)) throw nb::python_error();
  PyErr_Clear();
}

ArrayView view_of(nb::handle array, Access access) {
  const bool is_stated = PyTuple_CheckExact(array.ptr()) && PyTuple_GET_SIZE(array.ptr()) == 3;
  const auto part = [array](Py_ssize_t i) { return PyTuple_GET_ITEM(array.ptr(), i); };
  if (is_stated && part(0) == Py_None) return view_elsewhere(part(1), part(2));
  const nb::handle memory = is_stated ? part(0) : array;
  if (is_stated ? !is_view_of(memory, part(2)) : !is_numpy_array(memory)) {
    throw RefusedError("[array] it is no NumPy array. Pass one.");
  }
  const Export exported(memory, access);
  const Py_buffer& buffer = *exported;
  const std::optional<Dtype> dtype = is_stated ? stated_dtype(part(1), buffer) : dtype_of(buffer);
  if (!dtype) {
    throw RefusedError("[array] its dtype is not supported. Convert it with astype().");
  }
  if (reinterpret_cast<uintptr_t>(buffer.buf) % size_bytes(*dtype) != 0) {
    throw RefusedError("[array] it does not lie on a multiple of its item size. Pass a copy.");
  }
  return {{static_cast<std::byte*>(buffer.buf), static_cast<size_t>(buffer.len)},
          *dtype,
          DeviceKind::kCpu,
          nullptr,
          Shape(std::span<const Py_ssize_t>(buffer.shape, static_cast<size_t>(buffer.ndim))),
          is_stated ? part(2) : array};
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
