#include "engine/members.h"

#include <algorithm>
#include <utility>

#include "collective/algorithm.h"
#include "transport/pair_board.h"

namespace ringsync {
namespace {

/// Queues from all other ranks together, so that 64 ranks of a host need no gigabyte. Less than the
/// reader's second-level cache costs much (mailbox.h), more takes room in the third from the
/// arrays: 2 ranks, 2 and 4 MiB: 1 MiB 66 and 80 us, 4 MiB 255 and 300 us, 16 MiB 2.5 and 2.8 ms.
constexpr size_t kWorldInboxBytes = 2 * 1024 * 1024;
/// What a rank says to all others needs as much for the same reason; it is read where it lies.
constexpr size_t kWorldBoardBytes = 2 * 1024 * 1024;
/// What two ranks send each other has queues of its own in each direction, whose memory is taken in
/// full when the engine starts, whether or not anything is ever sent: less of it, 1 MiB for both.
/// With few slots 64 KiB take up to three times as long (mailbox.h).
constexpr size_t kPairsInboxBytes = 512 * 1024;

}  // namespace

Members connect_world(Transport& transport, int rank, int size, Deadline deadline) {
  const std::vector<int> ranks = all_ranks(size);
  return {ranks, rank,
          transport.connect("world", ranks, {kWorldInboxBytes, kWorldBoardBytes}, deadline)};
}

size_t pair_index(int rank, int sender, int receiver) {
  const int other = rank == sender ? receiver : sender;
  return 2 * static_cast<size_t>(other) + (sender < receiver ? 0 : 1);
}

std::vector<Members> connect_pairs(Transport& transport, int rank, int size, Deadline deadline) {
  std::vector<Members> pairs(2 * static_cast<size_t>(size));
  if (size == 1) return pairs;
  for (const bool is_upward : {true, false}) {
    Ways ways = transport.connect(is_upward ? "pairs upward" : "pairs downward", all_ranks(size),
                                  {kPairsInboxBytes, 0}, deadline);
    for (int other = 0; other < size; ++other) {
      if (other == rank) continue;
      const int low = std::min(rank, other);
      const int high = std::max(rank, other);
      Members& pair = pairs[pair_index(rank, is_upward ? low : high, is_upward ? high : low)];
      pair.ranks = {low, high};
      pair.rank = rank == low ? 0 : 1;
      pair.ways.connections.resize(2);
      auto& connection = pair.ways.connections[rank == low ? 1 : 0];
      connection = std::move(ways.connections[static_cast<size_t>(other)]);
      pair.ways.board = std::make_unique<PairBoard>(*connection);
    }
  }
  return pairs;
}

}  // namespace ringsync
