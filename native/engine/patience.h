#pragma once

// How long a thread with nothing to do keeps looking for news before it sleeps.

#include <sched.h>

#include "base/clock.h"

namespace ringsync {

/// Decides how long a blocked thread keeps looking before it sleeps.
class Patience {
 public:
  explicit Patience(double spin_us) : spin_us_(spin_us) { renew(); }

  void renew() {
    until_ = kNever;  // counts from the first look that finds nothing
    looks_ = spin_us_ > 0 ? kLooksPerClock : kYields;
  }
  bool is_left() {
    if (spin_us_ == 0) {
      if (looks_ == 0) return false;
      --looks_;
      ::sched_yield();
      return true;
    }
    relax();
    if (--looks_ > 0) return true;
    looks_ = kLooksPerClock;
    if (until_ == kNever) until_ = deadline_after(spin_us_ * 1e-6);
    return Clock::now() < until_;
  }

 private:
  /// Looks at the peers' memory between two sleeps where spinning is off: each lets another thread
  /// run, which may be the very peer that is awaited. With nobody to run a yield takes 0.6 us, so
  /// all of them stay below one wake-up (35 to 50 us). 4 ranks on 2 cores, 4, 16 and 64 yields: 64
  /// KiB 62, 52 and 54 us, 1 MiB 433, 397 and 325 us.
  static constexpr int kYields = 64;

  /// To read the clock takes 25 ns, to look 50 to 100.
  static constexpr int kLooksPerClock = 8;

  static void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  const double spin_us_;
  Deadline until_ = kNever;
  int looks_ = 0;
};

}  // namespace ringsync
