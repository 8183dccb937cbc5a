#include <algorithm>
#include <numeric>

#include "collective/algorithms.h"

namespace ringsync {
namespace {

/// Every rank reads its part of all ranks' inputs and sums it in rank order, so the result does not
/// depend on timing. One phase; nobody writes a peer's memory.
class DirectReduceScatter final : public Algorithm {
 public:
  std::string_view name() const override { return "direct_reduce_scatter"; }

  bool applies(const Problem& problem) const override {
    return problem.collective == Collective::kReduceScatter;
  }

  Schedule build(const Problem& problem) const override {
    const auto own = problem.parts.begin() + problem.rank;
    const size_t offset = std::accumulate(problem.parts.begin(), own, size_t{0});
    const Range read{Buffer::kInput, offset, *own};
    const Range write{Buffer::kOutput, 0, *own};
    return {
        .phases = 1,
        .steps = {{0, all_ranks(problem.size), read, {problem.rank}, write, Apply::kReduceLast}}};
  }

  Cost cost(const Problem& problem) const override {
    const auto peers = static_cast<size_t>(problem.size - 1);
    const size_t longest = *std::ranges::max_element(problem.parts);
    return {.steps = 1, .messages = peers, .elements = peers * longest, .sums = longest};
  }
};

}  // namespace

std::unique_ptr<Algorithm> make_direct_reduce_scatter() {
  return std::make_unique<DirectReduceScatter>();
}

}  // namespace ringsync
