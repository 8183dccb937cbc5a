#include "collective/algorithms.h"

namespace ringsync {
namespace {

/// Allreduce in which every rank reads all ranks: each sums one chunk in rank order, so the result
/// does not depend on timing, and a 16-bit type is rounded once. In place one phase does it
/// all; between private buffers the sums travel in a second phase.
class Direct final : public Algorithm {
 public:
  std::string_view name() const override { return "direct"; }

  bool applies(const Problem& problem) const override {
    return problem.collective == Collective::kAllreduce;
  }

  Schedule build(const Problem& problem) const override {
    const int n = problem.size;
    const int rank = problem.rank;
    const std::vector<int> all = all_ranks(n);
    const auto range = [&](int chunk) {
      const Chunk part = chunk_of(problem.counts[0], n, chunk);
      return Range{Buffer::kOutput, part.offset, part.count};
    };
    const std::vector<int> targets = problem.is_in_place ? all : std::vector<int>{rank};
    Schedule schedule{.phases = problem.is_in_place ? 1 : 2, .steps = {}};
    schedule.steps.push_back({0, all, range(rank), targets, range(rank), Apply::kReduceLast});
    if (problem.is_in_place) return schedule;
    for (int k = 1; k < n; ++k) {
      // Each rank starts with another peer, so that no rank is asked by all at once.
      const int peer = (rank + k) % n;
      schedule.steps.push_back({1, {peer}, range(peer), {rank}, range(peer), Apply::kCopy});
    }
    return schedule;
  }

  Cost cost(const Problem& problem) const override {
    const auto peers = static_cast<size_t>(problem.size - 1);
    const size_t chunk = longest_chunk(problem.counts[0], problem.size);
    if (problem.is_in_place) {
      return {.steps = 1, .messages = peers, .elements = 2 * peers * chunk, .sums = chunk};
    }
    // The sums are written once for all others.
    return {.steps = 2, .messages = peers + 1, .elements = (peers + 1) * chunk, .sums = chunk};
  }
};

}  // namespace

std::unique_ptr<Algorithm> make_direct() { return std::make_unique<Direct>(); }

}  // namespace ringsync
