#include <bit>

#include "collective/algorithms.h"

namespace ringsync {
namespace {

/// Broadcast along a binomial tree: in every phase each rank that has the values gives them to one
/// that has not, so that n ranks have them after log2(n) phases and none sends more often.
class Tree final : public Algorithm {
 public:
  std::string_view name() const override { return "tree"; }

  bool applies(const Problem& problem) const override {
    return problem.collective == Collective::kBroadcast;
  }

  Schedule build(const Problem& problem) const override {
    const int n = problem.size;
    const int place = (problem.rank - problem.root + n) % n;  // the root's is 0
    Schedule schedule{.phases = phases(n), .steps = {}};
    if (place == 0) return schedule;
    const auto reach = static_cast<int>(std::bit_floor(static_cast<unsigned>(place)));
    const int phase = std::countr_zero(static_cast<unsigned>(reach));
    const int parent = (place - reach + problem.root) % n;
    const Range whole{Buffer::kOutput, 0, problem.counts[0]};
    schedule.steps.push_back({phase, {parent}, whole, {problem.rank}, whole, Apply::kCopy});
    return schedule;
  }

  Cost cost(const Problem& problem) const override {
    const auto steps = static_cast<size_t>(phases(problem.size));
    return {.steps = steps, .messages = steps, .elements = steps * problem.counts[0]};
  }

 private:
  static int phases(int size) {
    return static_cast<int>(std::bit_width(static_cast<unsigned>(size - 1)));
  }
};

}  // namespace

std::unique_ptr<Algorithm> make_tree() { return std::make_unique<Tree>(); }

}  // namespace ringsync
