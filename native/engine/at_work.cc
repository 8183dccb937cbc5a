// What devices are given before what they work on is over, and what waits for that here. Where
// ranks work on arrays is sites.cc's matter.

#include <algorithm>
#include <vector>

#include "engine/device_peers.h"
#include "engine/group.h"

namespace ringsync {
namespace {

// Streams hold what a thousand calls or so have given them; a thread that gives more waits there,
// and notices no lost rank.

/// So many operations on one array are given to a device at once.
constexpr size_t kMostOnArray = 3;

/// And so many pieces of a group's arrays. Each gives a stream ten calls or so, thirty among eight
/// ranks, unless a graph holds them.
constexpr size_t kMostAtWork = 32;

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

/// Pieces that the group's streams have been given, or will be: what is summed as one is one.
size_t Group::count_at_work() const {
  size_t count = 0;
  const StreamWork* last = nullptr;
  for (const Operation& one : delivering_) {
    if (!one.runs_on_device() || one.is_delivered() || one.work().get() == last) continue;
    last = one.work().get();
    count += 1 + one.request().data.size() / device_peers_->piece_bytes();
  }
  return count;
}

/// On devices streams wait for what is at work on its array, once that is on some; else it has to
/// be over. All ranks come to what is at work, whoever is held up behind it: so it ends, and then
/// rings the engine.
bool Group::is_held_up(const Operation& front) const {
  const std::vector<const StreamWork*> works = at_work_on(front);
  if (front.is_on_host()) return !works.empty();
  return works.size() >= kMostOnArray || !std::ranges::all_of(works, &StreamWork::is_put) ||
         count_at_work() >= kMostAtWork;
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
