#pragma once

// What the kernels do, as functions of one thread's place: no shared memory and no barrier, so a
// device's threads and a host's loop do the same. Which threads there are, and how a value is
// rounded, is the caller's; `constexpr` is what lets one function serve both compilers.

#include <cstdint>

#include "device/plugin_abi.h"

namespace ringsync::plugin {

/// A thread's place: teams take spans in turn, and the lanes of a team take vectors in turn.
struct Place {
  uint32_t team;
  uint32_t teams;
  uint32_t lane;
  uint32_t lanes;
};

/// Memory moved in one access of 16 bytes at most; a cast to a narrower type reads two of them.
template <typename T, uint32_t kWidth>
struct alignas(sizeof(T) * kWidth < 16 ? sizeof(T) * kWidth : 16) Vector {
  T values[kWidth];
};

/// Elements that are stored in one access. What lanes store is then contiguous: of two accesses
/// with gaps between the lanes an H100 writes at two thirds of its speed, and reads at full speed.
template <typename To>
inline constexpr uint32_t kWidthOf = 16 / sizeof(To);

/// What a thread has in flight. An H100 needs some 30 KiB per multiprocessor to cover its memory's
/// latency; 64 bytes of 1024 threads are twice that, and leave registers free.
inline constexpr uint32_t kBytesInFlight = 64;

/// In place of a factor: values stay as they are, integers in particular.
struct Unscaled {};

template <typename T, typename Scale>
constexpr T scaled(T value, Scale scale) {
  return value * scale;
}
template <typename T>
constexpr T scaled(T value, Unscaled) {
  return value;
}

template <typename T>
constexpr bool is_aligned(const void* memory) {
  return reinterpret_cast<uintptr_t>(memory) % alignof(T) == 0;
}

/// to[i] = scale * from[i], by vectors. All loads of a turn are under way before its first store.
template <typename Arithmetic, uint32_t kWidth, typename From, typename To, typename Scale>
constexpr void move_run(const From* from, To* to, uint32_t count, Scale scale, const Place& place) {
  using Source = Vector<From, kWidth>;
  using Target = Vector<To, kWidth>;
  // Of single elements as many as of vectors: the registers are there anyway.
  constexpr uint32_t kAtOnce = kWidth == 1 ? 4 : kBytesInFlight / sizeof(Source);
  const auto* sources = reinterpret_cast<const Source*>(from);
  auto* targets = reinterpret_cast<Target*>(to);
  for (uint32_t i = place.lane; i < count; i += kAtOnce * place.lanes) {
    Source held[kAtOnce] = {};
    for (uint32_t k = 0; k < kAtOnce; ++k) {
      if (i + k * place.lanes < count) held[k] = sources[i + k * place.lanes];
    }
    for (uint32_t k = 0; k < kAtOnce; ++k) {
      Target made = {};
      for (uint32_t v = 0; v < kWidth; ++v) {
        made.values[v] =
            Arithmetic::template narrow<To>(scaled(Arithmetic::widen(held[k].values[v]), scale));
      }
      if (i + k * place.lanes < count) targets[i + k * place.lanes] = made;
    }
  }
}

/// The same at any address: by vectors where both sides allow it.
template <typename Arithmetic, typename From, typename To, typename Scale>
constexpr void move_elements(const From* from, To* to, uint32_t count, Scale scale,
                             const Place& place) {
  constexpr uint32_t kWidth = kWidthOf<To>;
  uint32_t done = 0;
  if (is_aligned<Vector<From, kWidth>>(from) && is_aligned<Vector<To, kWidth>>(to)) {
    move_run<Arithmetic, kWidth>(from, to, count / kWidth, scale, place);
    done = count / kWidth * kWidth;
  }
  move_run<Arithmetic, 1>(from + done, to + done, count - done, scale, place);
}

/// The last segment that begins at or before `element`, else the first.
template <typename Segments>
constexpr uint32_t find_segment(const Segments& segments, uint32_t count, uint32_t element) {
  uint32_t low = 0;
  uint32_t high = count - 1;
  while (low < high) {
    const uint32_t middle = (low + high + 1) / 2;
    if (segments[middle].first <= element) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

template <typename ScaleType>
struct MoveFrame {
  using Scale = ScaleType;

  void* fused;
  uint32_t segment_count;
  /// Elements of the fusion buffer, and those that a team takes at a time: a multiple of what a
  /// vector holds.
  uint32_t total;
  uint32_t span;
  uint32_t is_pack;
  Scale scale;
};

/// One thread's part of a pack or an unpack. Spans are equal whatever the tensors' sizes.
template <typename Arithmetic, typename From, typename To, typename Segments, typename Scale>
constexpr void move_spans(const Segments& segments, const MoveFrame<Scale>& frame,
                          const Place& place) {
  const uint64_t stride = uint64_t{frame.span} * place.teams;
  for (uint64_t at = uint64_t{frame.span} * place.team; at < frame.total; at += stride) {
    const auto low = static_cast<uint32_t>(at);
    const uint32_t high = frame.total - low < frame.span ? frame.total : low + frame.span;
    for (uint32_t k = find_segment(segments, frame.segment_count, low);
         k < frame.segment_count && segments[k].first < high; ++k) {
      const RsSegment segment = segments[k];
      const uint32_t begin = low > segment.first ? low - segment.first : 0;
      const uint32_t room = high - segment.first;
      const uint32_t end = room < segment.count ? room : segment.count;
      if (begin >= end) continue;
      const uint64_t first = uint64_t{segment.first} + begin;
      const From* from = frame.is_pack != 0 ? static_cast<const From*>(segment.tensor) + begin
                                            : static_cast<const From*>(frame.fused) + first;
      To* to = frame.is_pack != 0 ? static_cast<To*>(frame.fused) + first
                                  : static_cast<To*>(segment.tensor) + begin;
      move_elements<Arithmetic>(Arithmetic::on_device(from), Arithmetic::on_device(to), end - begin,
                                frame.scale, place);
    }
  }
}

template <typename ScaleType>
struct SumFrame {
  using Scale = ScaleType;

  void* destination;
  const void* sources[kRsMostPeers];
  uint64_t count;
  uint32_t source_count;
  Scale scale;
};

/// Vectors that a thread sums at a time, and sources that it reads before it adds.
inline constexpr uint32_t kSumsAtOnce = 2;
inline constexpr uint32_t kSourcesAtOnce = 2;

/// One thread's part of a sum, from element `first` on.
template <typename Arithmetic, uint32_t kWidth, typename T, typename Scale>
constexpr void sum_run(const SumFrame<Scale>& frame, uint64_t first, uint64_t count,
                       const Place& place) {
  using Values = Vector<T, kWidth>;
  using Computed = decltype(Arithmetic::widen(T()));
  const uint64_t lanes = uint64_t{place.teams} * place.lanes;
  for (uint64_t i = uint64_t{place.team} * place.lanes + place.lane; i < count;
       i += kSumsAtOnce * lanes) {
    Computed sums[kSumsAtOnce][kWidth] = {};
    for (uint32_t s = 0; s < frame.source_count; s += kSourcesAtOnce) {
      Values held[kSourcesAtOnce][kSumsAtOnce] = {};
      for (uint32_t p = 0; p < kSourcesAtOnce; ++p) {
        if (s + p >= frame.source_count) break;
        const auto* source = Arithmetic::on_device(static_cast<const T*>(frame.sources[s + p]));
        for (uint32_t k = 0; k < kSumsAtOnce; ++k) {
          if (i + k * lanes >= count) break;
          held[p][k] = reinterpret_cast<const Values*>(source + first)[i + k * lanes];
        }
      }
      for (uint32_t p = 0; p < kSourcesAtOnce; ++p) {
        if (s + p >= frame.source_count) break;
        for (uint32_t k = 0; k < kSumsAtOnce; ++k) {
          for (uint32_t v = 0; v < kWidth; ++v) {
            const Computed value = Arithmetic::widen(held[p][k].values[v]);
            // Not added to the zero: of nothing but -0 the sum is -0.
            sums[k][v] = s + p == 0 ? value : sums[k][v] + value;
          }
        }
      }
    }
    auto* target = Arithmetic::on_device(static_cast<T*>(frame.destination)) + first;
    for (uint32_t k = 0; k < kSumsAtOnce; ++k) {
      Values made = {};
      for (uint32_t v = 0; v < kWidth; ++v) {
        made.values[v] = Arithmetic::template narrow<T>(scaled(sums[k][v], frame.scale));
      }
      if (i + k * lanes < count) reinterpret_cast<Values*>(target)[i + k * lanes] = made;
    }
  }
}

/// The same at any address: by vectors where all sides allow it.
template <typename Arithmetic, typename T, typename Scale>
constexpr void sum_elements(const SumFrame<Scale>& frame, const Place& place) {
  constexpr uint32_t kWidth = kWidthOf<T>;
  bool is_wide = is_aligned<Vector<T, kWidth>>(frame.destination);
  for (uint32_t s = 0; s < frame.source_count; ++s) {
    is_wide = is_wide && is_aligned<Vector<T, kWidth>>(frame.sources[s]);
  }
  const uint64_t vectors = is_wide ? frame.count / kWidth : 0;
  sum_run<Arithmetic, kWidth, T>(frame, 0, vectors, place);
  sum_run<Arithmetic, 1, T>(frame, vectors * kWidth, frame.count - vectors * kWidth, place);
}

}  // namespace ringsync::plugin
