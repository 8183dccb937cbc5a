#include "engine/watch.h"

#include <utility>

namespace ringsync {

Watch::Watch(StallLimits limits, Testimony& testimony, std::string own,
             const std::function<void(const std::string&)>& tell)
    : testimony_(testimony), own_(std::move(own)), tell_(tell), stall_(limits) {}

void Watch::rest() {
  for (const int rank : asked_) testimony_.forget(rank);
  asked_.clear();
}

bool Watch::look(Deadline now, const Operation& front, const std::function<Missing()>& missing) {
  switch (stall_.look(now, front.request().deadline == kNever)) {
    case Stall::Due::kNothing:
      return false;
    case Stall::Due::kAsk:
      for (const int rank : missing().ranks) {
        if (testimony_.ask(rank)) asked_.push_back(rank);
      }
      return false;
    case Stall::Due::kTell:
      tell(front, missing(), now);
      return false;
    case Stall::Due::kResume:
      rest();
      return false;
    case Stall::Due::kAbort:
      return true;
  }
  __builtin_unreachable();
}

/// Of those it has asked; others tell of the rest.
void Watch::tell(const Operation& front, const Missing& missing, Deadline now) const {
  if (asked_.empty() && !missing.ranks.empty()) return;
  std::string text = stall_text(front, own_, missing, stall_.seconds_still(now)) + "\n";
  for (const int rank : asked_) text += testimony_.answer_of(rank) + "\n";
  tell_(text);
}

}  // namespace ringsync
