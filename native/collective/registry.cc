#include "collective/registry.h"

#include "base/error.h"
#include "collective/algorithms.h"

namespace ringsync {
namespace {

/// Prices are in elements that could have been sent meanwhile, taken as 4 bytes. Two processes
/// exchange a flag in about 150 ns and copy about 10 bytes a nanosecond through shared memory (both
/// measured on a 2-core x86-64 host).
constexpr size_t kStepElements = 400;
/// To put a message into a mailbox and take one out, apart from its bytes and from waiting: about
/// 40 ns of the same host.
constexpr size_t kMessageElements = 100;
/// A sum is written once and, where it is a partial one, read again: memory traffic like that of a
/// sent element. This is why one sum over all ranks beats partial sums handed on.
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
