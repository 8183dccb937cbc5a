#pragma once

// Asks and tells why a group stands still: whom it waits for, and what those are doing.

#include <functional>
#include <string>
#include <vector>

#include "engine/failures.h"
#include "engine/operation.h"
#include "engine/stall.h"
#include "transport/transport.h"

namespace ringsync {

/// One thread at a time.
class Watch {
 public:
  /// `own`: the rank that watches, as "rank 1 of 4", and the group if there are several; `tell`
  /// reaches the person who runs the job. All outlive it.
  Watch(StallLimits limits, Testimony& testimony, std::string own,
        const std::function<void(const std::string&)>& tell);

  void note_progress() { stall_.note_progress(); }
  /// Nothing is in flight: whom it has asked others may ask.
  void rest();
  /// After a turn in which nothing moved, with `front` first in flight: does what is due. True when
  /// that has lasted too long, which only holds for what does not end at a time of its own.
  bool look(Deadline now, const Operation& front, const std::function<Missing()>& missing);
  /// When to look next, after a look.
  Deadline next() const { return stall_.next(); }
  double seconds_still(Deadline now) const { return stall_.seconds_still(now); }

 private:
  void tell(const Operation& front, const Missing& missing, Deadline now) const;

  Testimony& testimony_;
  const std::string own_;
  const std::function<void(const std::string&)>& tell_;
  Stall stall_;
  std::vector<int> asked_;  // for their stacks, because they keep this rank waiting
};

}  // namespace ringsync
