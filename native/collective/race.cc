#include "collective/race.h"

#include <algorithm>

namespace ringsync {
namespace {

struct Access {
  int phase = 0;
  int by = 0;
  int owner = 0;
  Range range;
  bool is_write = false;
};

bool overlaps(const Range& a, const Range& b) {
  return a.buffer == b.buffer && a.offset < b.offset + b.count && b.offset < a.offset + a.count;
}

bool is_race(const Access& a, const Access& b) {
  return a.phase == b.phase && a.by != b.by && a.owner == b.owner && (a.is_write || b.is_write) &&
         overlaps(a.range, b.range);
}

std::string describe(const Access& access) {
  return "rank " + std::to_string(access.by) + (access.is_write ? " writes " : " reads ") + "[" +
         std::to_string(access.range.offset) + ", " +
         std::to_string(access.range.offset + access.range.count) + ") of rank " +
         std::to_string(access.owner);
}

std::vector<Access> accesses_of(const std::vector<Schedule>& schedules) {
  std::vector<Access> accesses;
  for (size_t rank = 0; rank < schedules.size(); ++rank) {
    const int by = static_cast<int>(rank);
    for (const Step& step : schedules[rank].steps) {
      if (step.read.count == 0) continue;
      for (const int from : step.from) accesses.push_back({step.phase, by, from, step.read, false});
      for (const int to : step.to) accesses.push_back({step.phase, by, to, step.write, true});
    }
  }
  return accesses;
}

}  // namespace

std::string find_race(const std::vector<Schedule>& schedules, bool is_in_place) {
  const std::vector<Access> accesses = accesses_of(schedules);
  for (const Access& access : accesses) {
    if (!is_in_place && access.is_write && access.by != access.owner) {
      return describe(access) + ", whose buffer is private";
    }
  }
  for (size_t i = 0; i < accesses.size(); ++i) {
    for (size_t j = i + 1; j < accesses.size(); ++j) {
      if (is_race(accesses[i], accesses[j])) {
        return "in phase " + std::to_string(accesses[i].phase) + " " + describe(accesses[i]) +
               " while " + describe(accesses[j]);
      }
    }
  }
  return {};
}

}  // namespace ringsync
