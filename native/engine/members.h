#pragma once

// Who belongs to a group, and the ways that an engine makes for each: for all ranks and for every
// two when it starts, for some of them when they ask.

#include <memory>
#include <string>
#include <vector>

#include "transport/transport.h"

namespace ringsync {

/// The ranks of a group in the world's numbers, this rank at `rank`, and the ways to the others.
struct Members {
  std::vector<int> ranks;
  int rank = 0;
  Ways ways;
  /// On somebody's order, so that messages have to tell it from others.
  bool is_ordered = false;
};

/// All ranks of a world. Throws RendezvousError.
Members connect_world(Transport& transport, int rank, int size, Deadline deadline);

/// Number of the pair that carries what `sender` gives `receiver`, on both of them; it differs from
/// that of the other direction in the last bit.
size_t pair_index(int rank, int sender, int receiver);

/// This rank with each other one, the lower first, once for each direction, so that the two can
/// give each other something at once; at their pair_index, no members elsewhere. Throws
/// RendezvousError.
std::vector<Members> connect_pairs(Transport& transport, int rank, int size, Deadline deadline);

/// Makes the queues of `rank` in a group of some ranks, which are told them under `name`: as large
/// as the world's. Throws ConfigError unless `ranks` are some of `size` in ascending order and
/// `rank` is among them; else like Transport::offer.
std::unique_ptr<Offer> offer_group(Transport& transport, const std::string& name,
                                   const std::vector<int>& ranks, int rank, int size);

/// The same ranks, once all have offered. Throws RendezvousError.
Members connect_group(Offer& offer, const std::vector<int>& ranks, int rank, Deadline deadline);

}  // namespace ringsync
