#include "collective/algorithm.h"

#include <algorithm>
#include <numeric>

namespace ringsync {

std::string to_string(Collective collective) {
  switch (collective) {
    case Collective::kAllreduce:
      return "allreduce";
    case Collective::kAllgather:
      return "allgather";
    case Collective::kBroadcast:
      return "broadcast";
    case Collective::kBarrier:
      return "barrier";
    case Collective::kReduceScatter:
      return "reduce_scatter";
    case Collective::kAlltoall:
      return "alltoall";
    case Collective::kSend:
      return "send";
    case Collective::kJoin:
      return "join";
  }
  __builtin_unreachable();
}

std::vector<int> all_ranks(int size) {
  std::vector<int> ranks(static_cast<size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

size_t largest_count(const Problem& problem) {
  return problem.counts.empty() ? 0 : *std::ranges::max_element(problem.counts);
}

Schedule scale_alone(const Problem& problem) {
  const Range whole{Buffer::kOutput, 0, problem.counts[0]};
  return {.phases = 1, .steps = {{0, {0}, whole, {0}, whole, Apply::kReduceLast}}};
}

}  // namespace ringsync
