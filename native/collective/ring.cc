#include "collective/algorithms.h"

namespace ringsync {
namespace {

/// Allreduce around a ring: n-1 phases in which partial sums travel, n-1 in which results do. Each
/// rank sends 2(n-1)/n of the buffer, whatever n is. Patarasuk & Yuan, JPDC 69(2):117-124, 2009.
class Ring final : public Algorithm {
 public:
  std::string_view name() const override { return "ring"; }

  bool applies(const Problem& problem) const override {
    return problem.collective == Collective::kAllreduce;
  }

  bool rounds_once() const override { return false; }

  Schedule build(const Problem& problem) const override {
    const int n = problem.size;
    const int rank = problem.rank;
    if (n == 1) return scale_alone(problem);
    const int previous = (rank + n - 1) % n;
    Schedule schedule{.phases = 2 * (n - 1), .steps = {}};
    const auto range = [&](int chunk) {
      const Chunk part = chunk_of(problem.counts[0], n, (chunk % n + n) % n);
      return Range{Buffer::kOutput, part.offset, part.count};
    };
    for (int k = 0; k < n - 1; ++k) {
      // Chunk c starts at rank c and gathers one rank's values a phase; rank c-1 adds the last.
      const Range chunk = range(rank - k - 1);
      const Apply apply = k == n - 2 ? Apply::kReduceLast : Apply::kReduce;
      schedule.steps.push_back({k, {previous, rank}, chunk, {rank}, chunk, apply});
    }
    for (int k = 0; k < n - 1; ++k) {
      const Range chunk = range(rank - k);
      schedule.steps.push_back({n - 1 + k, {previous}, chunk, {rank}, chunk, Apply::kCopy});
    }
    return schedule;
  }

  Cost cost(const Problem& problem) const override {
    const auto hops = 2 * (static_cast<size_t>(problem.size) - 1);
    const size_t chunk = longest_chunk(problem.counts[0], problem.size);
    return {.steps = hops,
            // Flags go both ways.
            .messages = problem.is_in_place ? 2 * hops : hops,
            .elements = hops * chunk,
            .sums = hops / 2 * chunk};
  }
};

}  // namespace

std::unique_ptr<Algorithm> make_ring() { return std::make_unique<Ring>(); }

}  // namespace ringsync
