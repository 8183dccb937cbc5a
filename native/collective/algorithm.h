#pragma once

// An algorithm is a pure function from a problem to a schedule, with its cost. It knows no device,
// no transport and no time.

#include <string_view>
#include <vector>

#include "collective/schedule.h"

namespace ringsync {

/// What the busiest rank pays.
struct Cost {
  /// Phases, each of which waits for a peer.
  size_t steps = 0;
  /// Messages sent, or flags in place.
  size_t messages = 0;
  /// Elements sent, or in place elements of peers read and written.
  size_t elements = 0;
  /// Elements that its reductions write, partial sums included.
  size_t sums = 0;
};

class Algorithm {
 public:
  virtual ~Algorithm() = default;

  virtual std::string_view name() const = 0;
  virtual bool applies(const Problem& problem) const = 0;
  /// Pure; called for every rank of a problem by every rank.
  virtual Schedule build(const Problem& problem) const = 0;
  /// Upper bound over all ranks.
  virtual Cost cost(const Problem& problem) const = 0;
  /// False where partial sums travel, each of them rounded to the arrays' dtype.
  virtual bool rounds_once() const { return true; }
};

/// 0 to size - 1, the order in which `direct` algorithms add.
std::vector<int> all_ranks(int size);

/// Largest of the elements that one rank contributes.
size_t largest_count(const Problem& problem);

/// For an allreduce of one rank: nothing travels, yet values may have to be scaled.
Schedule scale_alone(const Problem& problem);

}  // namespace ringsync
