#include "collective/registry.h"

#include "base/error.h"
#include "collective/algorithms.h"

namespace ringsync {
namespace {

/// Prices are in elements that could have been sent meanwhile, taken as 4 bytes. Two processes
/// exchange a flag in about 150 ns and copy about 10 bytes a nanosecond through shared memory (both
/// measured on a 2-core x86-64 host).
constexpr size_t kStepElements = 400;
/// To put a message into a mailbox and take one out, apart from its bytes and from waiting: 58 to
/// 73 ns a message of 64 bytes, streamed between two threads of the same host. What all others read
/// is one message and written once, so a broadcast takes one step: 4 ranks on 2 cores, along the
/// tree and at once, 256 KiB 75 and 44 us, 1 MiB 284 and 172 us, 4 MiB 1.1 and 0.7 ms.
constexpr size_t kMessageElements = 150;
/// A sum of two arrays takes 0.15 ns an element out of the second-level cache and 0.6 ns out of
/// memory, where a copy takes as long (the same host): as much as to send it, within the error.
constexpr size_t kSumElements = 1;

size_t price(const Cost& cost) {
  return cost.steps * kStepElements + cost.messages * kMessageElements + cost.elements +
         cost.sums * kSumElements;
}

const std::vector<std::unique_ptr<Algorithm>>& entries() {
  static const auto kEntries = [] {
    std::vector<std::unique_ptr<Algorithm>> list;
    list.push_back(make_direct());
    list.push_back(make_ring());
    list.push_back(make_halving_doubling());
    list.push_back(make_direct_broadcast());
    list.push_back(make_tree());
    list.push_back(make_direct_allgather());
    list.push_back(make_direct_reduce_scatter());
    list.push_back(make_direct_alltoall());
    return list;
  }();
  return kEntries;
}

}  // namespace

std::vector<std::string> algorithm_names() {
  std::vector<std::string> names;
  for (const auto& algorithm : entries()) names.emplace_back(algorithm->name());
  return names;
}

const Algorithm& algorithm_named(const std::string& name) {
  std::string known;
  for (const auto& algorithm : entries()) {
    if (algorithm->name() == name) return *algorithm;
    known += (known.empty() ? "" : ", ") + std::string(algorithm->name());
  }
  throw ConfigError("[algorithm] '" + name + "' is unknown; one of " + known + " is expected.");
}

const Algorithm& choose(const Problem& problem, const std::string& preferred) {
  const Algorithm* best = nullptr;
  size_t least = 0;
  for (const auto& algorithm : entries()) {
    if (!algorithm->applies(problem)) continue;
    if (algorithm->name() == preferred) return *algorithm;
    if (problem.is_narrow && !algorithm->rounds_once()) continue;
    const size_t asked = price(algorithm->cost(problem));
    if (best == nullptr || asked < least) {
      best = algorithm.get();
      least = asked;
    }
  }
  if (best == nullptr) {
    throw ConfigError("[algorithm] none applies to " + to_string(problem.collective) + ".");
  }
  return *best;
}

}  // namespace ringsync
