#pragma once

// The one clock: CLOCK_MONOTONIC, common to all processes of a host, so that events of several
// ranks can be laid side by side.

#include <chrono>
#include <cstdint>

namespace ringsync {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

inline constexpr Deadline kNever = Deadline::max();

inline int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
      .count();
}

/// Beyond 30 years there is no deadline, and no overflow either.
inline Deadline deadline_after(double seconds, int64_t from_ns = now_ns()) {
  if (!(seconds < 1e9)) return kNever;
  return Deadline(std::chrono::nanoseconds(from_ns)) +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

/// A signal that comes after the last look for signals and before the sleep interrupts neither. A
/// sleeper that a person may want to interrupt therefore looks again after this long.
inline Deadline next_signal_check() { return Clock::now() + std::chrono::milliseconds(500); }

}  // namespace ringsync
