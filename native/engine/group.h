#pragma once

// The operations of one process group, one after another in the order of submission. Groups have
// connections of their own, so none waits for another.

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/event_log.h"
#include "engine/announcement.h"

namespace ringsync {

/// Used by the holder of the engine's turn.
class Group {
 public:
  using OnDone = std::function<void(const Request&)>;

  /// `ranks` by position, this rank at `rank`. Throws RendezvousError.
  Group(const std::string& name, const std::vector<int>& ranks, int rank, Transport& transport,
        EventLog& events, std::string algorithm, Deadline deadline, OnDone on_done);

  void push(Request request, std::shared_ptr<Handle> handle);

  /// Does what can be done now; kDone when nothing is left to do.
  Progress advance();

  /// After a blocked advance: fails everything if a needed rank is lost or the time of any
  /// operation is up. True when it did.
  bool give_up();
  /// When give_up() has to be asked next.
  Deadline deadline() const;
  bool is_idle() const { return operations_.empty(); }

  /// Completes all operations, and all that will come, with `error`. The first error is kept.
  void fail_all(const std::exception_ptr& error);

 private:
  Progress advance_current();
  Progress agree();
  std::vector<int> blocked_on() const;
  void finish(std::exception_ptr error);
  void record(const Operation& operation) const;
  std::shared_ptr<const Route> route_of(const Problem& problem);
  std::exception_ptr lost_error(const LostPeer& lost) const;
  std::exception_ptr late_error(const Operation& operation, const std::vector<int>& missing) const;

  const int size_;
  Transport& transport_;
  EventLog& events_;
  const std::string algorithm_;
  const OnDone on_done_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::byte> scratch_;
  GroupView view_;
  std::deque<Operation> operations_;          // the first one is in flight
  std::optional<Announcement> announcement_;  // of the first ones, until they have been agreed on
  uint64_t sequence_ = 0;
  std::exception_ptr failure_;  // of the group as a whole: the ranks' positions differ from here on
  std::unordered_map<std::string, std::shared_ptr<const Route>> routes_;
};

}  // namespace ringsync
