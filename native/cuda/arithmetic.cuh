#pragma once

// How a device rounds: by its own instructions, written out because three of them are all that is
// needed of CUDA's headers of 16-bit floats, which cost every file a second to compile.

#include <cstdint>
#include <type_traits>

namespace ringsync::cuda {

/// Bits of 16-bit floats.
enum class Float16 : uint16_t {};
enum class Bfloat16 : uint16_t {};

/// What plugin_bodies.h asks of a plug-in. Runs on the device alone: `constexpr` admits it there,
/// and the host's half of the compiler sees no instruction.
struct Arithmetic {
  using Float16 = cuda::Float16;
  using Bfloat16 = cuda::Bfloat16;

  template <typename T>
  static constexpr T widen(T value) {
    return value;
  }
  static constexpr float widen(Bfloat16 value) {
    return __builtin_bit_cast(float, static_cast<uint32_t>(value) << 16);
  }
  static constexpr float widen([[maybe_unused]] Float16 value) {
    float wide = 0.0f;
#ifdef __CUDA_ARCH__
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(static_cast<uint16_t>(value)));
#endif
    return wide;
  }

  template <typename To, typename T>
  static constexpr To narrow([[maybe_unused]] T value) {
    if constexpr (std::is_same_v<To, T>) {
      return value;
    } else {
      uint16_t bits = 0;
#ifdef __CUDA_ARCH__
      if constexpr (std::is_same_v<To, Bfloat16>) {
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
      } else {
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
      }
#endif
      return static_cast<To>(bits);
    }
  }

  /// A pointer that came out of memory could point anywhere, and its loads would be generic ones.
  template <typename T>
  static constexpr T* on_device(T* memory) {
#ifdef __CUDA_ARCH__
    __builtin_assume(__isGlobal(memory));
#endif
    return memory;
  }
};

}  // namespace ringsync::cuda
