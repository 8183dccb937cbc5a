#include "engine/members.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
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

constexpr Room kWorldRoom{kWorldInboxBytes, kWorldBoardBytes};
/// A rank alone has nobody to say anything to: the least there is.
constexpr Room kLonelyRoom{1, 1};

int position_of(int rank, const std::vector<int>& ranks) {
  return static_cast<int>(std::ranges::find(ranks, rank) - ranks.begin());
}

}  // namespace

Members connect_world(Transport& transport, int rank, int size, Deadline deadline) {
  const std::vector<int> ranks = all_ranks(size);
  return {ranks, rank, transport.offer("world", ranks, kWorldRoom)->connect(deadline), false};
}

size_t pair_index(int rank, int sender, int receiver) {
  const int other = rank == sender ? receiver : sender;
  return 2 * static_cast<size_t>(other) + (sender < receiver ? 0 : 1);
}

std::vector<Members> connect_pairs(Transport& transport, int rank, int size, Deadline deadline) {
  std::vector<Members> pairs(2 * static_cast<size_t>(size));
  if (size == 1) return pairs;
  for (const bool is_upward : {true, false}) {
    const std::string name = is_upward ? "pairs upward" : "pairs downward";
    Ways ways = transport.offer(name, all_ranks(size), {kPairsInboxBytes, 0})->connect(deadline);
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

std::unique_ptr<Offer> offer_group(Transport& transport, const std::string& name,
                                   const std::vector<int>& ranks, int rank, int size) {
  const bool is_ascending =
      std::ranges::adjacent_find(ranks, [](int a, int b) { return a >= b; }) == ranks.end();
  if (!is_ascending || !std::ranges::count(ranks, rank) || ranks.front() < 0 ||
      ranks.back() >= size) {
    throw ConfigError("[engine] " + std::to_string(ranks.size()) + " ranks make no group of rank " +
                      std::to_string(rank) + " of " + std::to_string(size) +
                      "; some in ascending order and that rank among them are expected. Correct "
                      "the caller.");
  }
  return transport.offer(name, ranks, ranks.size() > 1 ? kWorldRoom : kLonelyRoom);
}

Members connect_group(Offer& offer, const std::vector<int>& ranks, int rank, Deadline deadline) {
  return {ranks, position_of(rank, ranks), offer.connect(deadline), true};
}

}  // namespace ringsync
