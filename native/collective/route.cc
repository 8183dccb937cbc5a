#include "collective/route.h"

#include <algorithm>
#include <set>

namespace ringsync {
namespace {

/// Ranks whose memory `rank` touches, its own included: it may be sleeping on it.
std::set<int> touched_by(const Schedule& schedule, int rank) {
  std::set<int> touched{rank};
  for (const Step& step : schedule.steps) {
    touched.insert(step.from.begin(), step.from.end());
    touched.insert(step.to.begin(), step.to.end());
  }
  return touched;
}

std::vector<int> neighbours_of(const std::vector<Schedule>& schedules, int rank) {
  const std::set<int> mine = touched_by(schedules[static_cast<size_t>(rank)], rank);
  std::vector<int> neighbours;
  for (int other = 0; other < static_cast<int>(schedules.size()); ++other) {
    if (other == rank) continue;
    const std::set<int> theirs = touched_by(schedules[static_cast<size_t>(other)], other);
    if (std::ranges::any_of(theirs, [&](int r) { return mine.contains(r); })) {
      neighbours.push_back(other);
    }
  }
  return neighbours;
}

void add_sends(Route& route, const Schedule& receiver, int receiving, int self) {
  for (const Step& step : receiver.steps) {
    if (step.read.count == 0 || !std::ranges::count(step.from, self)) continue;
    route.phases[static_cast<size_t>(step.phase)].sends.push_back({receiving, step.read});
  }
}

}  // namespace

std::vector<Schedule> build_all(const Algorithm& algorithm, const Problem& problem) {
  std::vector<Schedule> schedules;
  for (int rank = 0; rank < problem.size; ++rank) {
    schedules.push_back(algorithm.build(problem.seen_by(rank)));
  }
  return schedules;
}

Route make_route(const std::vector<Schedule>& schedules, const Problem& problem) {
  const Schedule& own = schedules[static_cast<size_t>(problem.rank)];
  Route route;
  route.is_in_place = problem.is_in_place;
  route.phases.resize(static_cast<size_t>(own.phases));
  for (const Step& step : own.steps) {
    if (step.read.count > 0) route.phases[static_cast<size_t>(step.phase)].steps.push_back(step);
  }
  if (route.is_in_place) {
    route.neighbours = neighbours_of(schedules, problem.rank);
    return route;
  }
  for (int rank = 0; rank < problem.size; ++rank) {
    if (rank != problem.rank) {
      add_sends(route, schedules[static_cast<size_t>(rank)], rank, problem.rank);
    }
  }
  return route;
}

}  // namespace ringsync
