#include "base/dtype.h"

namespace ringsync {

size_t size_bytes(Dtype dtype) {
  switch (dtype) {
    case Dtype::kUint8:
    case Dtype::kInt8:
    case Dtype::kBool:
      return 1;
    case Dtype::kInt16:
    case Dtype::kFloat16:
    case Dtype::kBfloat16:
      return 2;
    case Dtype::kInt32:
    case Dtype::kFloat32:
      return 4;
    case Dtype::kInt64:
    case Dtype::kFloat64:
      return 8;
  }
  __builtin_unreachable();
}

std::string_view name(Dtype dtype) {
  switch (dtype) {
    case Dtype::kUint8:
      return "uint8";
    case Dtype::kInt32:
      return "int32";
    case Dtype::kInt64:
      return "int64";
    case Dtype::kFloat32:
      return "float32";
    case Dtype::kFloat64:
      return "float64";
    case Dtype::kInt8:
      return "int8";
    case Dtype::kInt16:
      return "int16";
    case Dtype::kFloat16:
      return "float16";
    case Dtype::kBool:
      return "bool";
    case Dtype::kBfloat16:
      return "bfloat16";
  }
  __builtin_unreachable();
}

bool is_summable(Dtype dtype) { return dtype != Dtype::kBool; }

bool is_floating(Dtype dtype) {
  return is_narrow(dtype) || dtype == Dtype::kFloat32 || dtype == Dtype::kFloat64;
}

}  // namespace ringsync
