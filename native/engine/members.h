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
  std::vector<std::unique_ptr<Connection>> connections;
};

/// All ranks of a world. Throws RendezvousError.
Members connect_world(Transport& transport, int rank, int size, Deadline deadline);

/// This rank with each other one, the lower first; by the other rank, no members at `rank`. Throws
/// RendezvousError.
std::vector<Members> connect_pairs(Transport& transport, int rank, int size, Deadline deadline);

}  // namespace ringsync
