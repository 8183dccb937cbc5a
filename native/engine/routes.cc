#include "engine/routes.h"

#include <vector>

#include "collective/registry.h"

namespace ringsync {
namespace {

/// Distinct problems kept; a training step has some hundreds. Beyond it all are forgotten, which
/// costs microseconds each to compute again.
constexpr size_t kMostKnown = 4096;

std::string key_of(const Problem& problem) {
  std::string key;
  const auto append = [&key](const auto& value) {
    key.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  append(problem.collective);
  append(problem.root);
  append(problem.is_in_place);
  append(problem.is_narrow);
  for (const size_t count : problem.counts) append(count);
  for (const size_t part : problem.parts) append(part);
  return key;
}

}  // namespace

std::shared_ptr<const Route> Routes::of(const Problem& problem) {
  if (last_ && problem == last_problem_) return last_;
  if (known_.size() >= kMostKnown) known_.clear();
  std::shared_ptr<const Route>& route = known_[key_of(problem)];
  if (!route) {
    const std::vector<Schedule> schedules = build_all(choose(problem, algorithm_), problem);
    route = std::make_shared<const Route>(make_route(schedules, problem));
  }
  last_problem_ = problem;
  last_ = route;
  return route;
}

}  // namespace ringsync
