#pragma once

// What callers hand in and the engine takes out: requests, each with the group that has to do it.
// Names are kept unique here, and calls without one are numbered. Nothing is done here.

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/groups.h"
#include "engine/handle.h"
#include "engine/request.h"

namespace ringsync {

/// Any thread.
class RequestQueue {
 public:
  struct Queued {
    std::shared_ptr<Group> group;
    Request request;
    std::shared_ptr<Handle> handle;
  };

  /// Of rank `rank` of a world of `size`.
  RequestQueue(int rank, int size) : groups_(rank, size) {}

  /// Queues the request; if its group has failed, it fails right here. Throws DuplicateNameError,
  /// NotInitializedError once stopped, ConfigError for an impossible request.
  std::shared_ptr<Handle> add(Request&& request);
  /// Queues all requests of a call, which are for one group, or none. One handle for all.
  std::shared_ptr<Handle> add_all(std::vector<Request> requests);
  /// Seen without a lock, so perhaps a moment late.
  bool has_any() const { return has_any_; }
  size_t count() const;
  /// Takes out what is there, in exchange for the empty `taken`.
  void take(std::vector<Queued>& taken);
  InFlight in_flight() const;
  /// Ranks need not meet under the name of the request any more.
  void forget_name(const Request& request);

  void set_first_groups(std::shared_ptr<Group> world, std::vector<std::shared_ptr<Group>> pairs);
  /// Returns the number that requests name the group by. Throws NotInitializedError once stopped.
  size_t add_group(std::shared_ptr<Group> group);
  /// Throws NotInitializedError once stopped, ConfigError where there is none of that number.
  std::shared_ptr<Group> group(size_t number);
  /// As Groups::remove(). Throws NotInitializedError once stopped.
  std::shared_ptr<Group> remove_group(size_t number);
  /// `only`, or all if that is null.
  std::vector<std::shared_ptr<Group>> groups(const Group* only) const;
  /// What comes for those from now on fails with `ending`. Returns what is queued for them.
  std::vector<Queued> fail(const Group* only, const Ending& ending);

  /// Takes nothing from now on; false if that was so before.
  bool stop();
  bool is_stopping() const { return is_stopping_; }

 private:
  void reserve(size_t more);  // mutex_ held
  void push(Groups::Entry& entry, Request&& request,
            const std::shared_ptr<Handle>& handle);  // mutex_ held

  mutable std::mutex mutex_;
  std::vector<Queued> queue_;             // guarded by mutex_
  std::atomic<bool> has_any_{false};      // written under mutex_
  std::atomic<bool> is_stopping_{false};  // written under mutex_
  Groups groups_;                         // guarded by mutex_; what each has to do is not
};

}  // namespace ringsync
