#include "collective/algorithms.h"

namespace ringsync {
namespace {

/// Every rank reads every other rank's contribution, whatever their lengths. One phase.
class DirectAllgather final : public Algorithm {
 public:
  std::string_view name() const override { return "direct_allgather"; }

  bool applies(const Problem& problem) const override {
    return problem.collective == Collective::kAllgather;
  }

  Schedule build(const Problem& problem) const override {
    const int n = problem.size;
    std::vector<size_t> offsets(static_cast<size_t>(n), 0);
    for (size_t i = 1; i < offsets.size(); ++i) offsets[i] = offsets[i - 1] + problem.counts[i - 1];
    Schedule schedule{.phases = 1, .steps = {}};
    for (int k = 0; k < n; ++k) {
      const int peer = (problem.rank + k) % n;
      const auto i = static_cast<size_t>(peer);
      const Range read{Buffer::kInput, 0, problem.counts[i]};
      const Range write{Buffer::kOutput, offsets[i], problem.counts[i]};
      schedule.steps.push_back({0, {peer}, read, {problem.rank}, write, Apply::kCopy});
    }
    return schedule;
  }

  Cost cost(const Problem& problem) const override {
    const auto peers = static_cast<size_t>(problem.size - 1);
    if (problem.is_in_place) {
      return {.steps = 1, .messages = peers, .elements = peers * largest_count(problem)};
    }
    return {.steps = 1, .messages = 1, .elements = largest_count(problem)};  // once for all others
  }
};

}  // namespace

std::unique_ptr<Algorithm> make_direct_allgather() { return std::make_unique<DirectAllgather>(); }

}  // namespace ringsync
