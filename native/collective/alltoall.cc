#include <algorithm>

#include "collective/algorithms.h"

namespace ringsync {
namespace {

/// Every rank reads from every other the part that is meant for it. One phase; nobody writes a
/// peer's memory.
class DirectAlltoall final : public Algorithm {
 public:
  std::string_view name() const override { return "direct_alltoall"; }

  bool applies(const Problem& problem) const override {
    return problem.collective == Collective::kAlltoall;
  }

  Schedule build(const Problem& problem) const override {
    const int n = problem.size;
    std::vector<size_t> offsets(static_cast<size_t>(n), 0);
    for (int i = 1; i < n; ++i) {
      offsets[static_cast<size_t>(i)] =
          offsets[static_cast<size_t>(i - 1)] + problem.part(i - 1, problem.rank);
    }
    Schedule schedule{.phases = 1, .steps = {}};
    for (int k = 0; k < n; ++k) {
      // Each rank starts with another peer, so that no rank is asked by all at once.
      const int peer = (problem.rank + k) % n;
      const size_t count = problem.part(peer, problem.rank);
      size_t before = 0;  // what the peer has for ranks in front of this one
      for (int i = 0; i < problem.rank; ++i) before += problem.part(peer, i);
      const Range read{Buffer::kInput, before, count};
      const Range write{Buffer::kOutput, offsets[static_cast<size_t>(peer)], count};
      schedule.steps.push_back({0, {peer}, read, {problem.rank}, write, Apply::kCopy});
    }
    return schedule;
  }

  Cost cost(const Problem& problem) const override {
    size_t most = 0;
    for (int rank = 0; rank < problem.size; ++rank) {
      size_t sent = 0;
      size_t received = 0;
      for (int peer = 0; peer < problem.size; ++peer) {
        if (peer == rank) continue;
        sent += problem.part(rank, peer);
        received += problem.part(peer, rank);
      }
      most = std::max({most, sent, received});
    }
    return {.steps = 1, .messages = static_cast<size_t>(problem.size - 1), .elements = most};
  }
};

}  // namespace

std::unique_ptr<Algorithm> make_direct_alltoall() { return std::make_unique<DirectAlltoall>(); }

}  // namespace ringsync
