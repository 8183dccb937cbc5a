#pragma once

// All ranks of a problem in one thread, over queues in memory, advanced in a random order: the real
// executor and the real schedules, without a network.

#include <cstdint>
#include <vector>

#include "base/dtype.h"
#include "collective/algorithm.h"
#include "device/reduction.h"

namespace ringsync {

struct Simulation {
  /// By rank: what the caller gets.
  std::vector<std::vector<std::byte>> outputs;
  /// By rank: elements sent, or in place elements of peers read and written.
  std::vector<size_t> elements;
};

/// Runs `problem` for all ranks (`problem.rank` is ignored) on `inputs`, one per rank. Queues hold
/// one to four segments of `segment_bytes`; `seed` fixes their sizes and the interleaving. In place
/// ranks reach each other through their connections if `is_remote`. Throws Error with the ranks
/// that cannot go on if the schedules deadlock.
Simulation simulate(const Algorithm& algorithm, const Problem& problem, Dtype dtype,
                    const Reduction& reduction, const std::vector<std::vector<std::byte>>& inputs,
                    size_t segment_bytes, uint64_t seed, bool is_remote);

}  // namespace ringsync
