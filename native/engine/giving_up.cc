// When a group ends before its time: what it waits for, and for how long. How operations go on is
// group.cc's matter, how they end ending.cc's, the words are those of failures.cc.

#include <algorithm>

#include "base/error.h"
#include "engine/failures.h"
#include "engine/group.h"

namespace ringsync {

std::vector<int> Group::blocked_on() const {
  // On devices ranks wait for one another; for whom, nobody sees from here.
  if (std::ranges::any_of(delivering_, &Operation::needs_peers)) return view_.others();
  if (operations_.empty()) return {};
  if (stand_in_) return stand_in_->operation().blocked_on();
  if (order_.is_open()) return view_.others();
  if (announcement_.is_open()) return announcement_.blocked_on();
  const Operation& front = operations_.front();
  if (front.is_started()) return front.blocked_on();
  // It could not go on without any of them, whenever its values come.
  return front.lies_on_device() ? view_.others() : std::vector<int>{};
}

/// What a rank had sent before it went may have arrived since the last look: looks once more.
bool Group::moves_after_all() {
  // What a device works on may need nobody any more.
  const Deadline deadline = Clock::now() + kRunOut;
  for (const Operation& one : delivering_) one.settle(deadline);
  const bool has_ended = end_delivered();
  const bool has_moved = !operations_.empty() && advance_current() != Progress::kBlocked;
  wake_sleepers();
  if (has_moved) watch_.note_progress();
  return has_ended || has_moved;
}

/// Fails what needs a rank that has closed the group, and all that will come; other groups go on.
bool Group::end_where_closed() {
  for (const int rank : blocked_on()) {
    if (!members_.ways.board->is_closed(rank)) continue;
    if (moves_after_all()) return true;
    const int closer = members_.ranks[static_cast<size_t>(rank)];
    home_.fail(this, closed_error(first(), own_name(), closer, name()));
    return true;
  }
  return false;
}

bool Group::end_where_lost() {
  for (const int rank : blocked_on()) {
    const auto lost = members_.ways.connections[static_cast<size_t>(rank)]->lost();
    if (!lost) continue;
    if (moves_after_all()) return true;
    const std::exception_ptr error = lost_error(first(), place(), *lost);
    end_all(lost->cause, &*lost, error);
    return true;
  }
  return false;
}

bool Group::give_up() {
  if (is_idle()) return false;
  if (end_where_closed() || end_where_lost()) return true;
  const auto now = Clock::now();
  const Operation& front = first();
  if (watch_.look(now, front, [&] { return missing_for(front); })) {
    const Missing missing = missing_for(front);
    end_for(stall_error(front, place(), missing, watch_.seconds_still(now)), missing);
    return true;
  }
  for (const Operations* const operations : {&delivering_, &operations_}) {
    const auto late = std::ranges::find_if(
        *operations, [now](const Operation& one) { return one.request().deadline <= now; });
    if (late == operations->end()) continue;
    const Missing missing = missing_for(*late);
    end_for(late_error(*late, place(), missing), missing);
    return true;
  }
  return false;
}

/// Of all that are not done. There is one.
const Operation& Group::first() const {
  return delivering_.empty() ? operations_.front() : delivering_.front();
}

void Group::end_for(const std::exception_ptr& error, const Missing& missing) {
  const std::string cause =
      missing.ranks.empty() ? "its own device stands still" : kGaveUp + list_of(missing.ranks);
  end_all(cause, nullptr, error);
}

void Group::end_all(const std::string& cause, const LostPeer* lost,
                    const std::exception_ptr& error) {
  home_.transport.leave(cause, lost);
  home_.fail(nullptr, error);
}

/// For whatever this one waits, so does the other that comes behind it.
const Operation& Group::holder_of(const Operation* operation) const {
  const bool is_on_way_back = operation->delivering().begin_ns != 0;
  if (is_on_way_back) return *operation;
  if (!operation->runs_on_device() && !is_front_held_up()) {
    return operations_.empty() ? *operation : operations_.front();
  }
  const auto on_device = std::ranges::find_if(delivering_, &Operation::runs_on_device);
  return on_device != delivering_.end() ? *on_device : first();
}

/// Nobody, where all that it lacks is on its way from or to this rank's own device.
Missing Group::missing_for(const Operation& operation) const {
  Missing missing;
  const bool is_asking = order_.is_open();
  const Operation& holder = holder_of(&operation);
  if (!is_asking && (is_setting_up() || holder.waits_for_own_device())) return missing;
  missing.is_on_devices = !is_asking && holder.runs_on_device();
  for (const int rank : is_asking ? order_.missing_for(operation) : blocked_on()) {
    missing.ranks.push_back(members_.ranks[static_cast<size_t>(rank)]);
    if (is_asking) missing.submitted.push_back(order_.announced_by(rank));
  }
  missing.is_crosswise = way_back_ != nullptr && !operation.request().is_receiver &&
                         !missing.ranks.empty() && way_back_->is_unanswered();
  return missing;
}

/// Of a pair: the other rank has something for this one, which asks for nothing.
bool Group::is_unanswered() const {
  const auto other = static_cast<size_t>(view_.others().front());
  return is_idle() && !members_.ways.connections[other]->peek(sizeof(Summary)).empty();
}

bool Group::is_setting_up() const {
  return device_peers_ && device_peers_->set_up_by() != kNever && !operations_.empty() &&
         operations_.front().lies_on_device() && !operations_.front().site();
}

Deadline Group::deadline() const {
  const Deadline set_up_by = is_setting_up() ? device_peers_->set_up_by() : kNever;
  return std::min({first_deadline(), watch_.next(), set_up_by});
}

Deadline Group::first_deadline() const {
  Deadline first = kNever;
  for (const Operation& one : operations_) first = std::min(first, one.request().deadline);
  for (const Operation& one : delivering_) first = std::min(first, one.request().deadline);
  return first;
}

}  // namespace ringsync
