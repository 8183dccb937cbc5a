#include "engine/members.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace ringsync {
namespace {

/// Queues from all other ranks together, so that 64 ranks of a host need no gigabyte.
constexpr size_t kWorldInboxBytes = 4 * 1024 * 1024;
/// What two ranks send each other has queues of its own, whose memory is taken in full when the
/// engine starts, whether or not anything is ever sent: less of it. That costs a third of the speed
/// at 64 KiB (mailbox.h).
constexpr size_t kPairsInboxBytes = 1024 * 1024;

std::vector<int> all_ranks(int size) {
  std::vector<int> ranks(static_cast<size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

}  // namespace

Members connect_world(Transport& transport, int rank, int size, Deadline deadline) {
  const std::vector<int> ranks = all_ranks(size);
  return {ranks, rank, transport.connect("world", ranks, kWorldInboxBytes, deadline)};
}

std::vector<Members> connect_pairs(Transport& transport, int rank, int size, Deadline deadline) {
  std::vector<Members> pairs(static_cast<size_t>(size));
  if (size == 1) return pairs;
  auto connections = transport.connect("pairs", all_ranks(size), kPairsInboxBytes, deadline);
  for (int other = 0; other < size; ++other) {
    if (other == rank) continue;
    Members& pair = pairs[static_cast<size_t>(other)];
    pair.ranks = {std::min(rank, other), std::max(rank, other)};
    pair.rank = rank < other ? 0 : 1;
    pair.connections.resize(2);
    pair.connections[rank < other ? 1 : 0] = std::move(connections[static_cast<size_t>(other)]);
  }
  return pairs;
}

}  // namespace ringsync
