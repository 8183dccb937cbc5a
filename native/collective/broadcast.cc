#include "collective/algorithms.h"

namespace ringsync {
namespace {

/// Every rank reads the root. One phase.
class DirectBroadcast final : public Algorithm {
 public:
  std::string_view name() const override { return "direct_broadcast"; }

  bool applies(const Problem& problem) const override {
    return problem.collective == Collective::kBroadcast;
  }

  Schedule build(const Problem& problem) const override {
    Schedule schedule{.phases = 1, .steps = {}};
    if (problem.rank == problem.root) return schedule;
    const Range whole{Buffer::kOutput, 0, problem.counts[0]};
    schedule.steps.push_back({0, {problem.root}, whole, {problem.rank}, whole, Apply::kCopy});
    return schedule;
  }

  Cost cost(const Problem& problem) const override {
    // The ranks read side by side: in place the root's array, else what it wrote once.
    const auto peers = static_cast<size_t>(problem.size - 1);
    return {.steps = 1, .messages = problem.is_in_place ? peers : 1, .elements = problem.counts[0]};
  }
};

}  // namespace

std::unique_ptr<Algorithm> make_direct_broadcast() { return std::make_unique<DirectBroadcast>(); }

}  // namespace ringsync
