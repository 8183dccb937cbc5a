#pragma once

// The operations of one process group, one after another in an order that all its ranks share:
// that of submission, where it is the same everywhere. Groups have connections of their own, so
// none waits for another: all ranks of the world are one group, every two ranks are one for what
// they send each other, and others are made of some ranks.

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_log.h"
#include "engine/announcement.h"
#include "engine/device_peers.h"
#include "engine/failures.h"
#include "engine/footprint.h"
#include "engine/join.h"
#include "engine/members.h"
#include "engine/nccl_adoption.h"
#include "engine/order.h"
#include "engine/routes.h"
#include "engine/watch.h"

namespace ringsync {

class Group;

/// What all groups of an engine share.
struct GroupHome {
  int world_size = 1;
  Transport& transport;
  EventLog& events;
  /// Algorithm to prefer; empty: the cheapest.
  std::string algorithm;
  const std::atomic<uint64_t>& reach_from;
  StallLimits stall_limits;
  const NcclChoice& nccl;
  /// Tells the person who runs the job.
  std::function<void(const std::string&)> tell;
  /// Called for every operation for which ranks need not meet any more, before its handle tells so.
  std::function<void(const Request&)> on_met;
  /// Fails that group, or all if it is null: a rank that gives up leaves its peers in every
  /// respect.
  std::function<void(const Group*, const std::exception_ptr&)> fail;
  /// Set where a device may still write into what a failed operation was given.
  std::atomic<bool>& is_exposed;
};

/// How long a rank that gives up waits for its device, for the sake of the memory at work there,
/// which its caller may free.
inline constexpr auto kRunOut = std::chrono::seconds(1);

/// With what all that is in flight ends at once, and when.
struct Ending {
  std::exception_ptr error;
  std::shared_ptr<Gate> gate;
};

/// Used by the holder of the engine's turn.
class Group {
 public:
  /// `home` outlives it.
  Group(Members members, const GroupHome& home);

  // For any thread.

  /// By their numbers in the world, in ascending order.
  const std::vector<int>& ranks() const { return members_.ranks; }
  /// Which of them this one is.
  int rank() const { return members_.rank; }
  /// What messages call it.
  std::string name() const;
  /// The communicator of NCCL's that it uses, if one is adopted.
  NcclAdoption& nccl_adoption() { return nccl_adoption_; }
  /// One more operation is on its way here. One thread at a time.
  void expect_one() { expected_.store(expected_ + 1, std::memory_order_release); }
  /// Of a pair: `way_back`, which lives as long, carries the other direction. Before any operation.
  void set_way_back(const Group& way_back) { way_back_ = &way_back; }
  /// Operations on their way here, or here, whose handles are not done. Not beside expect_one().
  size_t in_flight() const { return expected_ - finished_; }
  /// With none in flight, and none to come: tells peers that still need this rank. A communicator
  /// that it has adopted is not touched any more.
  void close() noexcept {
    members_.ways.board->close();
    nccl_adoption_.leave();
  }

  // For the holder of the turn.

  /// Takes both, or throws and leaves the handle. The request's root is a rank of the world.
  void push(Request&& request, std::shared_ptr<Handle>& handle);

  /// Does what can be done now; kDone when nothing is left to do. A failure is that of all groups.
  Progress advance();

  /// After a blocked advance: fails all groups if a needed rank is lost or the time of any
  /// operation is up. True when it did.
  bool give_up();
  /// When give_up() has to be asked next.
  Deadline deadline() const;
  /// When the time of the first of its operations is up.
  Deadline first_deadline() const;
  bool is_idle() const { return operations_.empty() && delivering_.empty(); }
  /// There is something that other ranks are needed for.
  bool is_busy() const { return !operations_.empty(); }
  /// Its ranks have not submitted alike, and look for what all have.
  bool is_asking() const { return order_.is_open(); }
  /// What its ranks would do next, if they keep to their order, has not been submitted here.
  bool is_waiting() const { return order_.is_waiting(); }

  /// Before fail_all(): nobody will wait for what devices do here; lets it run out, if that can be
  /// by the deadline.
  void run_out(Deadline deadline);
  /// Completes all operations.
  void fail_all(const Ending& ending);
  /// Completes what was meant to be pushed.
  void turn_away(const Request& request, const std::shared_ptr<Handle>& handle,
                 const Ending& ending);
  /// Once the gate of fail_all() and turn_away() is open.
  void wake_sleepers();
  /// Closed, and ended by others later: what NCCL keeps for it is given back meanwhile.
  void leave_nccl() noexcept {
    if (device_peers_) device_peers_->leave_nccl();
  }

 private:
  Progress advance_current();
  Progress agree();
  Progress take_part();
  Progress advance_stand_in();
  void refuse(const std::exception_ptr& error);
  /// Ranks of the group without which it cannot go on.
  std::vector<int> blocked_on() const;
  bool end_where_closed();
  bool end_where_lost();
  const Operation& first() const;
  bool moves_after_all();
  void count_finished() { finished_.store(finished_ + 1, std::memory_order_release); }
  Progress finish_carried(size_t count);
  void note_sharing(Operation& last);
  std::vector<const StreamWork*> at_work_on(const Operation& front) const;
  size_t count_at_work() const;
  bool is_held_up(const Operation& front) const;
  bool is_front_held_up() const;
  DeviceStart start_of(const Operation& front) const;
  bool bring(Operation& front);
  void bring_more();
  bool choose_site(Operation& operation);
  NcclChoice take_nccl_choice();
  Site best_way();
  bool agree_on_site();
  void stay_on_host(const std::string& why);
  void start_bucket(size_t count);
  std::shared_ptr<const StreamWork> run_bucket(const DeviceBucket& bucket, DeviceStart start);
  bool end_failed();
  bool end_delivered();
  void finish(Operations::iterator operation, std::exception_ptr error, int64_t done_ns);
  void end(Operations& operations, Operations::iterator operation, std::exception_ptr error,
           const std::shared_ptr<const Gate>& gate = nullptr);
  void end_for(const std::exception_ptr& error, const Missing& missing);
  void end_all(const std::string& cause, const LostPeer* lost, const std::exception_ptr& error);
  /// The first operation waits for its own device to be set up.
  bool is_setting_up() const;
  const Operation& holder_of(const Operation* operation) const;
  Missing missing_for(const Operation& operation) const;
  bool is_unanswered() const;
  std::string own_name() const;
  /// That rank in this group.
  std::string place() const;

  const Members members_;
  const GroupHome& home_;
  const Group* way_back_ = nullptr;  // of a pair
  Routes routes_;
  Staging staging_;
  std::vector<std::byte> scratch_;
  GroupView view_;
  std::atomic<size_t> expected_{0};
  std::atomic<size_t> finished_{0};  // written by the holder of the turn alone, as all below
  Operations operations_;            // the first one is in flight
  Operations delivering_;            // done, but for the way back to a device; in order
  Footprint device_footprint_;       // of all those, the arrays that lie there
  Order order_;                      // asked where ranks have not submitted alike
  Announcement announcement_;        // of the first ones, until they have been agreed on
  std::optional<StandIn> stand_in_;  // once this rank has joined
  uint64_t sequence_ = 0;            // of the next announcement; equal on all ranks
  /// Handles whose waiters are woken once all that is complete with them is: one who waits for many
  /// would otherwise take the core after each.
  std::vector<std::shared_ptr<Handle>> sleepers_;
  Watch watch_;
  NcclAdoption nccl_adoption_;
  std::unique_ptr<DevicePeers> device_peers_;  // once an array wants the way over them
  int overruled_ = 0;                          // by ranks on the host, one time after another
  Site best_site_ = Site::kOffered;            // for those; less once it has been tried
};

}  // namespace ringsync
