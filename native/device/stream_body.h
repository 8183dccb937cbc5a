#pragma once

// The copy past the caches, compiled once per kernel like loop_bodies.h, and under the same rules.
// A whole line at once is best: 2 processes that copied 96 MiB, each MiB just written, took 28 ms
// by memcpy, 9 to 26 by 16 bytes, 9 to 25 by 32 and 8 to 9 by 64, beside others that used the
// cores.

#include <cstddef>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace ringsync {
namespace {

#if defined(__AVX512F__)
inline constexpr size_t kStreamBytes = sizeof(__m512i);

inline void stream_vector(std::byte* to, const std::byte* from) {
  _mm512_stream_si512(reinterpret_cast<__m512i*>(to), _mm512_loadu_si512(from));
}
#elif defined(__AVX2__)
inline constexpr size_t kStreamBytes = sizeof(__m256i);

inline void stream_vector(std::byte* to, const std::byte* from) {
  _mm256_stream_si256(reinterpret_cast<__m256i*>(to),
                      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
#elif defined(__SSE2__)
inline constexpr size_t kStreamBytes = sizeof(__m128i);

inline void stream_vector(std::byte* to, const std::byte* from) {
  _mm_stream_si128(reinterpret_cast<__m128i*>(to),
                   _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
#endif

inline void stream(void* to, const void* from, size_t bytes) {
  auto* const target = static_cast<std::byte*>(to);
  const auto* const source = static_cast<const std::byte*>(from);
  size_t done = 0;
#if defined(__SSE2__)
  for (; done + kStreamBytes <= bytes; done += kStreamBytes) {
    stream_vector(target + done, source + done);
  }
  _mm_sfence();
#endif
  if (done < bytes) std::memcpy(target + done, source + done, bytes - done);
}

}  // namespace
}  // namespace ringsync
