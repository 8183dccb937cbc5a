#include "collective/route.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

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

/// What others read of one rank in one phase.
struct Reading {
  Range range;
  std::set<int> readers;
  bool is_equal = true;  // every reader takes this range, once, and from no other rank with it
};

/// By phase and by the rank that is read.
using Readings = std::map<std::pair<int, int>, Reading>;

Readings readings_of(const std::vector<Schedule>& schedules) {
  Readings readings;
  for (size_t reader = 0; reader < schedules.size(); ++reader) {
    for (const Step& step : schedules[reader].steps) {
      if (step.read.count == 0) continue;
      for (const int from : step.from) {
        if (from == static_cast<int>(reader)) continue;
        Reading& reading = readings[{step.phase, from}];
        if (reading.readers.empty()) reading.range = step.read;
        const bool is_first = reading.readers.insert(static_cast<int>(reader)).second;
        reading.is_equal &= is_first && step.from.size() == 1 && step.read == reading.range;
      }
    }
  }
  return readings;
}

/// All others read the same of `rank`: it is written once. Two ranks have no board to gain by.
bool is_for_everyone(const Readings& readings, int phase, int rank, size_t size) {
  const auto found = readings.find({phase, rank});
  return size > 2 && found != readings.end() && found->second.is_equal &&
         found->second.readers.size() == size - 1;
}

void add_sends(Route& route, const std::vector<Schedule>& schedules, const Readings& readings,
               int self) {
  for (size_t phase = 0; phase < route.phases.size(); ++phase) {
    if (!is_for_everyone(readings, static_cast<int>(phase), self, schedules.size())) continue;
    route.phases[phase].sends.push_back(
        {kEveryone, readings.at({static_cast<int>(phase), self}).range});
  }
  for (size_t receiver = 0; receiver < schedules.size(); ++receiver) {
    if (static_cast<int>(receiver) == self) continue;
    for (const Step& step : schedules[receiver].steps) {
      if (step.read.count == 0 || !std::ranges::count(step.from, self)) continue;
      if (is_for_everyone(readings, step.phase, self, schedules.size())) continue;
      route.phases[static_cast<size_t>(step.phase)].sends.push_back(
          {static_cast<int>(receiver), step.read});
    }
  }
}

}  // namespace

std::vector<Schedule> build_all(const Algorithm& algorithm, const Problem& problem) {
  std::vector<Schedule> schedules;
  schedules.reserve(static_cast<size_t>(problem.size));
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
  const Readings readings = route.is_in_place ? Readings{} : readings_of(schedules);
  for (const Step& step : own.steps) {
    if (step.read.count == 0) continue;
    const bool is_on_board = step.from.size() == 1 && step.from[0] != problem.rank &&
                             is_for_everyone(readings, step.phase, step.from[0], schedules.size());
    route.phases[static_cast<size_t>(step.phase)].steps.push_back({step, is_on_board});
  }
  if (route.is_in_place) {
    route.neighbours = neighbours_of(schedules, problem.rank);
  } else {
    add_sends(route, schedules, readings, problem.rank);
  }
  return route;
}

}  // namespace ringsync
