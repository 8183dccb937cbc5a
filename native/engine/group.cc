#include "engine/group.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "engine/failures.h"
#include "engine/recording.h"

namespace ringsync {

Group::Group(Members members, const GroupHome& home)
    : members_(std::move(members)),
      home_(home),
      routes_(home.algorithm),
      staging_(home.transport, members_.ranks.size()),
      view_{members_.rank,
            static_cast<int>(members_.ranks.size()),
            members_.ranks,
            members_.ways.connections,
            *members_.ways.board,
            home_.transport,
            home_.algorithm,
            home_.reach_from,
            staging_,
            scratch_,
            [this](const Problem& problem) { return routes_.of(problem); }},
      order_(operations_, view_),
      announcement_(operations_, view_, order_),
      watch_(home.stall_limits, home.transport.testimony(), place(), home.tell) {}

void Group::push(Request&& request, std::shared_ptr<Handle> handle) {
  if (failure_) {
    home_.on_done(request);
    count_finished();
    const Times times{.submitted_ns = request.submitted_ns, .done_ns = now_ns()};
    if (handle->complete(times, failure_)) handle->wake();
    return;
  }
  // Where nobody gives, the root may be any rank.
  const auto root = std::ranges::find(members_.ranks, request.root);
  request.root = root == members_.ranks.end() ? 0 : static_cast<int>(root - members_.ranks.begin());
  operations_.emplace_back(std::move(request), std::move(handle));
  try {
    order_.add();
  } catch (...) {
    operations_.pop_back();  // the caller still has its handle, and fails it
    throw;
  }
}

Progress Group::advance() {
  Progress progress = Progress::kDone;
  while (!operations_.empty()) {
    const Progress current = advance_current();
    wake_sleepers();
    if (current != Progress::kBlocked) watch_.note_progress();
    if (current == Progress::kDone) {
      progress = Progress::kMoved;
      continue;
    }
    return progress == Progress::kMoved ? progress : current;
  }
  watch_.rest();
  return progress;
}

Progress Group::advance_current() {
  try {
    if (stand_in_) return advance_stand_in();
    if (!operations_.front().is_started()) return agree();
    const Progress progress = operations_.front().advance();
    if (progress == Progress::kDone) finish(operations_.begin(), nullptr, now_ns());
    return progress;
  } catch (const std::exception& error) {
    home_.transport.leave(error.what(), nullptr);
    home_.fail_all(std::current_exception());
    return Progress::kDone;
  }
}

Progress Group::agree() {
  if (order_.is_open()) {
    const Progress progress = order_.advance();
    if (progress != Progress::kDone) return progress;
    record_order(home_.events, order_.began_ns());
  }
  if (!announcement_.is_open()) {
    order_.foresee();
    announcement_.begin(sequence_++);
    operations_.front().set_started(now_ns());
  }
  const Progress progress = announcement_.advance();
  if (progress != Progress::kDone) return progress;
  if (!announcement_.is_one_call()) {
    announcement_.end();
    order_.begin(sequence_, announcement_.headers());
    return Progress::kMoved;
  }
  if (operations_.front().key() == kJoinKey) return take_part();
  operations_.front().set_agreed(now_ns());
  if (const auto mismatch = announcement_.find_mismatch()) {
    announcement_.end();
    refuse(std::make_exception_ptr(MismatchError(*mismatch)));
    return Progress::kDone;
  }
  if (is_impossible(announcement_.call())) {
    announcement_.end();
    refuse(impossible_error(operations_.front()));
    return Progress::kDone;
  }
  if (const size_t count = announcement_.count_carried(); count > 0) return finish_carried(count);
  const std::vector<uint64_t> splits = announcement_.splits();
  announcement_.end();
  operations_.front().start(view_, announcement_.headers(), splits);
  return Progress::kMoved;
}

/// This rank has joined: it learns that all have, or does what the others do.
Progress Group::take_part() {
  Operation& join = operations_.front();
  if (announcement_.joined().are_all()) {
    const int last = announcement_.joined().last();
    join.finish_join(members_.ranks[static_cast<size_t>(last)], announcement_.joined().calls());
    join.set_agreed(now_ns());
    announcement_.end();
    finish(operations_.begin(), nullptr, now_ns());
    return Progress::kDone;
  }
  join.renew();
  const Header& call = announcement_.call();
  // What is carried the others do without this rank.
  const bool is_over =
      announcement_.is_carried() || announcement_.find_mismatch() || is_impossible(call);
  announcement_.end();
  if (is_over) order_.remove(call);
  if (!is_over) stand_in_.emplace(view_, announcement_.headers(), call);
  return Progress::kMoved;
}

Progress Group::advance_stand_in() {
  Operation& operation = stand_in_->operation();
  const Progress progress = operation.advance();
  if (progress != Progress::kDone) return progress;
  operation.set_done(now_ns());
  record_done(home_.events, operation);
  order_.remove(stand_in_->call());
  operations_.front().renew();
  stand_in_.reset();
  return Progress::kMoved;
}

/// Completes what was carried, all of which all ranks have announced.
Progress Group::finish_carried(size_t count) {
  const Times first = operations_.front().times();
  for (size_t i = 0; i < count; ++i) {
    Operation& operation = *announcement_.carried(i);
    operation.set_started(first.started_ns);
    operation.set_agreed(first.agreed_ns);
    operation.finish_carried(members_.rank, view_.size, announcement_.take_carried(i));
  }
  announcement_.end();
  const int64_t done_ns = now_ns();
  for (size_t i = 0; i < count; ++i) finish(announcement_.carried(i), nullptr, done_ns);
  return Progress::kDone;
}

/// Ends what ranks disagree on, on every rank and before any data has moved: the group goes on.
void Group::refuse(const std::exception_ptr& error) {
  const Request& own = operations_.front().request();
  const auto has_equal_length = [&own](const Header& header) {
    return header.group_count == own.group_count;
  };
  // Of groups of unlike length the rest goes too, or ranks would be some operations apart.
  const bool is_whole = !std::ranges::all_of(announcement_.headers(), has_equal_length);
  finish(operations_.begin(), error, now_ns());
  while (is_whole && !operations_.empty() && operations_.front().request().group_index > 0) {
    finish(operations_.begin(), error, now_ns());
  }
}

std::vector<int> Group::blocked_on() const {
  if (stand_in_) return stand_in_->operation().blocked_on();
  if (order_.is_open()) return order_.others();
  if (announcement_.is_open()) return announcement_.blocked_on();
  return operations_.front().is_started() ? operations_.front().blocked_on() : std::vector<int>{};
}

/// What a rank had sent before it went may have arrived since the last look: looks once more.
bool Group::moves_after_all() {
  const Progress progress = advance_current();
  wake_sleepers();
  if (progress == Progress::kBlocked) return false;
  watch_.note_progress();
  return true;
}

/// Fails what needs a rank that has closed the group, and all that will come; other groups go on.
bool Group::end_where_closed() {
  for (const int rank : blocked_on()) {
    if (!members_.ways.board->is_closed(rank)) continue;
    if (moves_after_all()) return true;
    const int closer = members_.ranks[static_cast<size_t>(rank)];
    fail_all(closed_error(operations_.front(), own_name(), closer, name()));
    return true;
  }
  return false;
}

bool Group::end_where_lost() {
  for (const int rank : blocked_on()) {
    const auto lost = members_.ways.connections[static_cast<size_t>(rank)]->lost();
    if (!lost) continue;
    if (moves_after_all()) return true;
    const std::exception_ptr error = lost_error(operations_.front(), place(), *lost);
    home_.transport.leave(lost->cause, &*lost);
    home_.fail_all(error);
    return true;
  }
  return false;
}

bool Group::give_up() {
  if (operations_.empty()) return false;
  if (end_where_closed() || end_where_lost()) return true;
  const auto now = Clock::now();
  const Operation& front = operations_.front();
  if (watch_.look(now, front, [&] { return missing_for(front); })) {
    const Missing missing = missing_for(front);
    end_for(stall_error(front, place(), missing, watch_.seconds_still(now)), missing);
    return true;
  }
  const auto late = std::ranges::find_if(
      operations_, [now](const Operation& one) { return one.request().deadline <= now; });
  if (late == operations_.end()) return false;
  const Missing missing = missing_for(*late);
  end_for(late_error(*late, place(), missing), missing);
  return true;
}

void Group::end_for(const std::exception_ptr& error, const Missing& missing) {
  home_.transport.leave(kGaveUp + list_of(missing.ranks), nullptr);
  home_.fail_all(error);
}

Missing Group::missing_for(const Operation& operation) const {
  Missing missing;
  const bool is_asking = order_.is_open();
  for (const int rank : is_asking ? order_.missing_for(operation) : blocked_on()) {
    missing.ranks.push_back(members_.ranks[static_cast<size_t>(rank)]);
    if (is_asking) missing.submitted.push_back(order_.announced_by(rank));
  }
  return missing;
}

Deadline Group::first_deadline() const {
  Deadline first = kNever;
  for (const Operation& one : operations_) first = std::min(first, one.request().deadline);
  return first;
}

void Group::fail_all(const std::exception_ptr& error) {
  if (!failure_) failure_ = error;
  announcement_.abandon();
  order_.abandon();
  stand_in_.reset();
  while (!operations_.empty()) finish(operations_.begin(), failure_, now_ns());
  watch_.rest();
  wake_sleepers();
}

void Group::finish(Operations::iterator at, std::exception_ptr error, int64_t done_ns) {
  Operation& operation = *at;
  order_.remove(operation);
  home_.on_done(operation.request());
  count_finished();
  operation.set_done(done_ns);
  record_done(home_.events, operation);  // first: whoever sees it complete may ask for the events
  if (auto handle = operation.complete(std::move(error))) sleepers_.push_back(std::move(handle));
  operations_.erase(at);
}

void Group::wake_sleepers() {
  for (const auto& handle : sleepers_) handle->wake();
  sleepers_.clear();
}

std::string Group::name() const { return "group " + list_of(members_.ranks); }

std::string Group::own_name() const {
  return "rank " + std::to_string(members_.ranks[static_cast<size_t>(members_.rank)]) + " of " +
         std::to_string(home_.world_size);
}

std::string Group::place() const {
  return members_.is_ordered ? own_name() + " in " + name() : own_name();
}

}  // namespace ringsync
