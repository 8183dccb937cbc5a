#pragma once

// Who belongs to a group, and the connections that an engine makes for its groups when it starts.

#include <memory>
#include <vector>

#include "transport/transport.h"

namespace ringsync {

/// The ranks of a group in the world's numbers, this rank at `rank`, and the ways to the others.
struct Members {
  std::vector<int> ranks;
  int rank = 0;
  Ways ways;
};

/// All ranks of a world. Throws RendezvousError.
Members connect_world(Transport& transport, int rank, int size, Deadline deadline);

/// Number of the pair that carries what `sender` gives `receiver`, on both of them.
size_t pair_index(int rank, int sender, int receiver);

/// This rank with each other one, the lower first, once for each direction, so that the two can
/// give each other something at once; at their pair_index, no members elsewhere. Throws
/// RendezvousError.
std::vector<Members> connect_pairs(Transport& transport, int rank, int size, Deadline deadline);

}  // namespace ringsync
