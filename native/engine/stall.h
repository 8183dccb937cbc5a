#pragma once

// Whether a group stands still, and for how long. It follows progress: what moves slowly does not
// stand still, and a rank that is alive and does nothing does.

#include <limits>

#include "base/clock.h"

namespace ringsync {

/// Seconds without progress after which that is told, and after which it is an error. Infinite:
/// never.
struct StallLimits {
  double warn_s = std::numeric_limits<double>::infinity();
  double abort_s = std::numeric_limits<double>::infinity();
};

/// One thread at a time. Costs nothing while things move: the clock is read before a sleep.
class Stall {
 public:
  enum class Due {
    kNothing,
    kAsk,     // it stands still: ask those who are missing what they are doing
    kTell,    // they have had time to answer
    kAbort,   // it has stood still too long
    kResume,  // it goes on after kAsk
  };

  explicit Stall(StallLimits limits) : limits_(limits) {}

  /// Something has moved.
  void note_progress() { has_moved_ = true; }
  /// What there is to do now that nothing moves, once each. It never has stood still too long
  /// unless `may_abort`.
  Due look(Deadline now, bool may_abort);
  /// When to look next, after a look.
  Deadline next() const;
  double seconds_still(Deadline now) const;

 private:
  enum class Stage { kQuiet, kAsked, kTold };

  const StallLimits limits_;
  Deadline abort_at() const;

  bool has_moved_ = true;
  bool may_abort_ = true;
  Deadline since_{};
  Deadline told_at_{};  // once asked
  Stage stage_ = Stage::kQuiet;
};

}  // namespace ringsync
