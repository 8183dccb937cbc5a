#pragma once

// How the host rounds, for plugin_bodies.h: as the device's instructions do, but for the bits of a
// NaN.

#include <cstdint>
#include <type_traits>

#include "device/narrow_floats.h"

namespace ringsync::hostsim {

struct Arithmetic {
  using Float16 = ringsync::Float16;
  using Bfloat16 = ringsync::Bfloat16;

  template <typename T>
  static constexpr auto widen(T value) {
    if constexpr (std::is_enum_v<T>) {
      return ringsync::widen(value);
    } else {
      return value;
    }
  }

  template <typename To, typename T>
  static constexpr To narrow(T value) {
    if constexpr (std::is_same_v<To, T>) {
      return value;
    } else if constexpr (std::is_same_v<To, Float16>) {
      return narrow_to_float16(value);
    } else {
      return narrow_to_bfloat16(value);
    }
  }

  template <typename T>
  static constexpr T* on_device(T* memory) {
    return memory;
  }
};

}  // namespace ringsync::hostsim
