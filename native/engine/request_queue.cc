#include "engine/request_queue.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "base/error.h"

namespace ringsync {
namespace {

[[noreturn]] void refuse(const std::string& place, const std::string& what) {
  // By a thread that had found the engine while it still ran.
  throw NotInitializedError("[" + place + "] " + what +
                            " was called after shutdown. Let threads that call end before "
                            "shutdown(), or before the script does.");
}

/// Whatever the call is, it has ended like those before it.
std::shared_ptr<Handle> failed(const Request& request, const Ending& ending) {
  auto handle = std::make_shared<Handle>(1);
  const Times times{.submitted_ns = request.submitted_ns, .done_ns = now_ns()};
  handle->complete(times, ending.error, ending.gate);
  return handle;
}

}  // namespace

std::shared_ptr<Handle> RequestQueue::add(Request&& request) {
  auto handle = std::make_shared<Handle>(1);
  request.group_bytes = request.data.size();
  const std::scoped_lock lock(mutex_);
  Groups::Entry& entry = groups_.admit(request);
  if (is_stopping_) refuse("engine", call_of(request));
  if (entry.ending) return failed(request, *entry.ending);
  reserve(1);
  groups_.claim(entry, request);
  push(entry, std::move(request), handle);
  return handle;
}

std::shared_ptr<Handle> RequestQueue::add_all(std::vector<Request> requests) {
  check_disjoint(requests);
  size_t bytes = 0;
  for (const Request& request : requests) bytes += request.data.size();
  for (Request& request : requests) request.group_bytes = bytes;
  auto handle = std::make_shared<Handle>(requests.size());
  Groups::Entry* entry = nullptr;
  const std::scoped_lock lock(mutex_);
  for (Request& request : requests) entry = &groups_.admit(request);
  if (is_stopping_) refuse("engine", call_of(requests[0]));
  if (entry->ending) return failed(requests[0], *entry->ending);
  reserve(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    try {
      groups_.claim(*entry, requests[i]);
    } catch (...) {
      for (size_t k = 0; k < i; ++k) groups_.release(requests[k]);
      throw;
    }
  }
  for (Request& request : requests) push(*entry, std::move(request), handle);
  return handle;
}

size_t RequestQueue::count() const {
  const std::scoped_lock lock(mutex_);
  return queue_.size();
}

void RequestQueue::take(std::vector<Queued>& taken) {
  const std::scoped_lock lock(mutex_);
  taken.swap(queue_);
  has_any_ = false;
}

InFlight RequestQueue::in_flight() const {
  const std::scoped_lock lock(mutex_);
  return groups_.in_flight();
}

void RequestQueue::forget_name(const Request& request) {
  const bool is_join = request.collective == Collective::kJoin;
  if (!request.name && !is_join) return;
  const std::scoped_lock lock(mutex_);
  groups_.release(request);
  if (is_join) groups_.count_from(request);
}

void RequestQueue::set_first_groups(std::shared_ptr<Group> world,
                                    std::vector<std::shared_ptr<Group>> pairs) {
  const std::scoped_lock lock(mutex_);
  groups_.set_first(std::move(world), std::move(pairs));
}

size_t RequestQueue::add_group(std::shared_ptr<Group> group) {
  const std::scoped_lock lock(mutex_);
  if (is_stopping_) refuse("new_group", "new_group");
  return groups_.add(std::move(group));
}

std::shared_ptr<Group> RequestQueue::group(size_t number) {
  const std::scoped_lock lock(mutex_);
  if (is_stopping_) refuse("adopt_nccl", "adopt_nccl");
  return groups_.at("adopt_nccl", number).group;
}

std::shared_ptr<Group> RequestQueue::remove_group(size_t number) {
  const std::scoped_lock lock(mutex_);
  if (is_stopping_) refuse("close", "close");
  return groups_.remove(number);
}

std::vector<std::shared_ptr<Group>> RequestQueue::groups(const Group* only) const {
  const std::scoped_lock lock(mutex_);
  return groups_.some(only);
}

std::vector<RequestQueue::Queued> RequestQueue::fail(const Group* only, const Ending& ending) {
  const std::scoped_lock lock(mutex_);
  groups_.end(only, ending);
  const auto is_left = [only](const Queued& item) { return only && item.group.get() != only; };
  const auto failed = std::ranges::stable_partition(queue_, is_left);
  std::vector<Queued> queued(std::make_move_iterator(failed.begin()),
                             std::make_move_iterator(failed.end()));
  queue_.erase(failed.begin(), failed.end());
  has_any_ = !queue_.empty();
  return queued;
}

bool RequestQueue::stop() {
  const std::scoped_lock lock(mutex_);
  return !is_stopping_.exchange(true);
}

/// Before anything is claimed: what has a name must not fail to be queued.
void RequestQueue::reserve(size_t more) {
  const size_t needed = queue_.size() + more;
  if (needed > queue_.capacity()) queue_.reserve(std::max(needed, 2 * queue_.capacity()));
}

void RequestQueue::push(Groups::Entry& entry, Request&& request,
                        const std::shared_ptr<Handle>& handle) {
  // Numbered last: a refused call must not shift the numbers of those that follow. Requests of one
  // stroke are one call.
  if (!request.name) {
    const bool is_join = request.collective == Collective::kJoin;
    if (request.group_index == 0 && !is_join) ++entry.calls;
    request.number = is_join ? entry.calls : entry.calls - 1;
    handle->set_number(request.number);
  }
  entry.group->expect_one();
  queue_.push_back({entry.group, std::move(request), handle});
  has_any_ = true;
}

}  // namespace ringsync
