#include "engine/stall.h"

#include <algorithm>
#include <chrono>

namespace ringsync {
namespace {

/// A signal is handled and some hundred frames are written within milliseconds, on a busy machine
/// within some tenths of a second.
constexpr auto kAnswerTime = std::chrono::milliseconds(300);

Deadline after(Deadline from, double seconds) {
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(from.time_since_epoch());
  return deadline_after(seconds, ns.count());
}

}  // namespace

Stall::Due Stall::look(Deadline now, bool may_abort) {
  may_abort_ = may_abort;
  if (has_moved_) {
    has_moved_ = false;
    since_ = now;
    const bool was_told = stage_ != Stage::kQuiet;
    stage_ = Stage::kQuiet;
    return was_told ? Due::kResume : Due::kNothing;
  }
  if (now >= abort_at()) return Due::kAbort;
  if (stage_ == Stage::kQuiet && now >= after(since_, limits_.warn_s)) {
    stage_ = Stage::kAsked;
    told_at_ = now + kAnswerTime;
    return Due::kAsk;
  }
  if (stage_ == Stage::kAsked && now >= told_at_) {
    stage_ = Stage::kTold;
    return Due::kTell;
  }
  return Due::kNothing;
}

Deadline Stall::next() const {
  if (stage_ == Stage::kQuiet) return std::min(abort_at(), after(since_, limits_.warn_s));
  return stage_ == Stage::kAsked ? std::min(abort_at(), told_at_) : abort_at();
}

Deadline Stall::abort_at() const { return may_abort_ ? after(since_, limits_.abort_s) : kNever; }

double Stall::seconds_still(Deadline now) const {
  return std::chrono::duration<double>(now - since_).count();
}

}  // namespace ringsync
