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

void Group::push(Request&& request, std::shared_ptr<Handle>& handle) {
  // Where nobody gives, the root may be any rank.
  const auto root = std::ranges::find(members_.ranks, request.root);
  request.root = root == members_.ranks.end() ? 0 : static_cast<int>(root - members_.ranks.begin());
  operations_.emplace_back(std::move(request), std::move(handle));
  Operation& operation = operations_.back();
  try {
    operation.enter(view_);
    order_.add();
  } catch (...) {
    handle = operation.handle();
    operations_.pop_back();
    throw;
  }
  if (!operation.lies_on_device()) return;
  if (!device_footprint_.add(operation.request().data)) note_sharing(operation);
  if (best_site_ >= Site::kDevice) choose_site(operation);  // it may go with one before it
  try {
    bring_more();
  } catch (const std::exception& error) {
    end_all(error.what(), nullptr, std::current_exception());
  }
}

/// Which of those that share the array of the last one comes first is known once it is agreed on.
void Group::note_sharing(Operation& last) {
  const MutableByteSpan own = last.request().data;
  last.share_array();
  for (Operation& other : operations_) {
    if (other.lies_on_device() && overlap(other.request().data, own)) other.share_array();
  }
}

Progress Group::advance() {
  if (end_failed()) return Progress::kDone;
  Progress progress = end_delivered() ? Progress::kMoved : Progress::kDone;
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
  if (!delivering_.empty()) return progress == Progress::kMoved ? progress : Progress::kBlocked;
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
    end_all(error.what(), nullptr, std::current_exception());
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
    if (!operations_.front().is_next()) order_.foresee();
    Operation& front = operations_.front();
    if (front.lies_on_device() && !bring(front)) return Progress::kBlocked;
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
  if (!agree_on_site()) {
    announcement_.end();
    return Progress::kMoved;
  }
  if (const size_t count = announcement_.count_carried(); count > 0) return finish_carried(count);
  const std::vector<uint64_t> splits = announcement_.splits();
  announcement_.end();
  if (operations_.front().is_on_host()) {
    operations_.front().start(view_, announcement_.headers(), splits);
    return Progress::kMoved;
  }
  operations_.front().start_on_device(view_, *device_peers_, announcement_.headers(), splits,
                                      start_of(operations_.front()));
  finish(operations_.begin(), nullptr, now_ns());
  return Progress::kDone;
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
  const bool is_refused = announcement_.find_mismatch() || is_impossible(call);
  // Others have to announce it once more.
  const auto is_elsewhere = [](const Header& header) { return header.site != Site::kHost; };
  const bool is_again = !is_refused && std::ranges::any_of(announcement_.headers(), is_elsewhere);
  // What is carried the others do without this rank.
  const bool is_over = is_refused || announcement_.is_carried();
  announcement_.end();
  if (is_again) return Progress::kMoved;
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
  const bool is_bucket = !operations_.front().is_on_host();
  for (size_t i = 0; i < count; ++i) {
    Operation& operation = *announcement_.carried(i);
    operation.set_started(first.started_ns);
    operation.set_agreed(first.agreed_ns);
    if (is_bucket) continue;
    operation.finish_carried(members_.rank, view_.size, announcement_.take_carried(i));
  }
  if (is_bucket) start_bucket(count);
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

/// True if NCCL has failed with what it was given, which ends all.
bool Group::end_failed() {
  if (std::ranges::none_of(delivering_, &Operation::is_by_nccl)) return false;
  const std::exception_ptr failure = device_peers_->nccl_failure();
  if (!failure) return false;
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    end_all(error.what(), nullptr, failure);
  }
  return true;
}

/// True if any has been.
bool Group::end_delivered() {
  bool is_any = false;
  for (auto at = delivering_.begin(); at != delivering_.end();) {
    const auto next = std::next(at);
    // What has failed ends, too, and is no result; nor is what came behind it.
    const bool is_result =
        at->is_delivered() && !(at->runs_on_device() && device_peers_->nccl_failure());
    if (is_result) {
      if (at->runs_on_device()) at->set_done(now_ns());
      end(delivering_, at, error_of_device(*at));
      is_any = true;
    }
    at = next;
  }
  if (is_any) watch_.note_progress();
  wake_sleepers();
  return is_any;
}

/// Its ranks need it no more, and what they met under may be used again.
void Group::finish(Operations::iterator at, std::exception_ptr error, int64_t done_ns) {
  const bool is_delivering = !error && at->deliver();
  order_.remove(*at);
  home_.on_met(at->request());
  at->set_done(done_ns);
  if (!error) at->tell_put();
  if (is_delivering) {
    delivering_.splice(delivering_.end(), operations_, at);
  } else {
    end(operations_, at, std::move(error));
  }
}

void Group::end(Operations& operations, Operations::iterator at, std::exception_ptr error,
                const std::shared_ptr<const Gate>& gate) {
  Operation& operation = *at;
  if (operation.lies_on_device()) device_footprint_.remove(operation.request().data);
  count_finished();
  record_done(home_.events, operation);  // first: whoever sees it complete may ask for the events
  if (auto handle = operation.complete(std::move(error), gate)) {
    sleepers_.push_back(std::move(handle));
  }
  operations.erase(at);
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
