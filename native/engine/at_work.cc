// What devices are given before what they work on is over, and what waits for that here. Where
// ranks work on arrays is sites.cc's matter.

#include <algorithm>
#include <vector>

#include "engine/device_peers.h"
#include "engine/group.h"

namespace ringsync {
namespace {

/// So many operations on one array are given to a device at once. Streams hold what a thousand
/// calls or so have given them; a thread that gives more waits there, and notices no lost rank.
constexpr size_t kMostAtWork = 3;

}  // namespace

/// What devices still do with its array, or with a part of it.
std::vector<const StreamWork*> Group::at_work_on(const Operation& front) const {
  std::vector<const StreamWork*> works;
  if (!front.shares_array()) return works;
  for (const Operation& one : delivering_) {
    if (overlap(one.request().data, front.request().data)) works.push_back(one.work().get());
  }
  return works;
}

/// On devices streams wait for what is at work on its array, once that is on some; else it has to
/// be over.
bool Group::is_held_up(const Operation& front) const {
  const std::vector<const StreamWork*> works = at_work_on(front);
  if (works.empty()) return false;
  return front.is_on_host() || works.size() >= kMostAtWork ||
         !std::ranges::all_of(works, &StreamWork::is_put);
}

/// Before it is announced, and with it all that come behind it.
bool Group::is_front_held_up() const {
  if (operations_.empty() || announcement_.is_open()) return false;
  const Operation& front = operations_.front();
  return front.lies_on_device() && !front.is_started() && is_held_up(front);
}

/// Only where it is not held up.
DeviceStart Group::start_of(const Operation& front) const {
  DeviceStart start{{}, home_.events.is_on()};
  for (const StreamWork* const work : at_work_on(front)) start.after.push_back(work->end());
  return start;
}

}  // namespace ringsync
