#pragma once

// The engine of one rank: requests in, handles out, one thread that sleeps when there is nothing to
// do. Several engines may live in one process. It never touches the interpreter.

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/event_log.h"
#include "engine/group.h"
#include "engine/handle.h"
#include "engine/request.h"
#include "engine/request_queue.h"
#include "engine/serving.h"
#include "transport/transport.h"

namespace ringsync {

struct EngineConfig {
  /// Algorithm to prefer where it applies; empty: the cheapest.
  std::string algorithm;
  /// How long a calling thread, and the engine's own thread, look for news before they sleep. A
  /// wake-up costs 35 to 50 us, so longer never pays; 0 where there are more threads than cores.
  double caller_spin_us = 0;
  double engine_spin_us = 0;
  StallLimits stall_limits;
  /// What serves arrays on devices; empty: nothing. It is loaded for the first of them.
  std::filesystem::path device_plugin;
  /// And what sums them, where all ranks have it.
  NcclChoice nccl;
  /// From engines of this process before it, for those after it; null: there are none.
  std::shared_ptr<KeptMemory> kept_memory;
};

/// Where nobody has tried. 4 ranks on 2 cores, through queues and reached: 256 KiB 91 and 98 us, 1
/// MiB 0.41 and 0.39 ms, 4 MiB 1.5 and 1.1 ms.
inline constexpr uint64_t kUsualReachBytes = 1024 * 1024;

class Engine {
 public:
  /// Connects to the other ranks. Throws RendezvousError.
  Engine(EngineConfig config, std::unique_ptr<Transport> transport, int rank, int size,
         Deadline deadline);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// Of the process that made it; a forked child has no engine thread.
  pid_t pid() const { return pid_; }
  EventLog& events() { return events_; }

  /// Queues the request and returns at once. Any thread. Throws DuplicateNameError,
  /// NotInitializedError after shutdown, ConfigError for an impossible request.
  std::shared_ptr<Handle> submit(Request&& request);

  /// Queues all requests in one stroke, or none of them: nothing comes between. One handle for all.
  /// Else like submit.
  std::shared_ptr<Handle> submit_all(std::vector<Request> requests);
  /// Like submit_all, and like call for all of them.
  std::shared_ptr<Handle> call_all(std::vector<Request> requests);

  /// Like submit, but when nothing else is going on the calling thread does the engine's work
  /// itself until the request is done or a signal arrives. Any thread.
  std::shared_ptr<Handle> call(Request&& request);

  /// True if this rank may read and write the private memory of every peer. Any thread.
  bool can_reach() const { return transport_->can_reach(); }

  /// From now on private arrays of at least `bytes` are reached in place, where all ranks can and
  /// none names more. Which way takes how long is a matter of the host. Any thread.
  void set_reach_from(uint64_t bytes) { reach_from_ = bytes; }

  /// Registered memory, zeroed. Any thread.
  std::shared_ptr<std::byte> allocate(size_t bytes) { return transport_->allocate(bytes); }

  /// Where this process has to write its stacks when stacks_signal() comes; -1 if nobody asks.
  int stacks_fd() const { return transport_->testimony().stacks_fd(); }
  /// What callers have not been given the end of. Any thread.
  InFlight in_flight() const { return queue_.in_flight(); }
  /// Says to all peers what ends this rank's program, before it ends. Any thread.
  /// In a forked child it does nothing.
  void say_last_words(const std::string& words) noexcept;

  /// What operations were given must never be freed. Any thread.
  bool is_exposed() const { return is_exposed_ || transport_->is_exposed(); }

  /// Begins to make a group of some ranks, in ascending order and this one among them, under a name
  /// that none has had: once all of them have, add_group() goes on without waiting. Any thread.
  /// Throws ConfigError, RendezvousError, and Error where there is no room.
  std::unique_ptr<Offer> offer_group(const std::string& name, const std::vector<int>& ranks);
  /// Returns the number that requests name the group by, which is this rank's alone. Any thread.
  /// Throws RendezvousError, and NotInitializedError after shutdown.
  size_t add_group(Offer& offer, const std::vector<int>& ranks);
  /// Lets go of what an added group takes; ranks that still need this one in it are told so. Any
  /// thread. Throws ConfigError where it has operations in flight, or is none any more, and
  /// NotInitializedError after shutdown.
  void close_group(size_t number);

  /// A group will use that communicator of NCCL's in place of one of its own, if all of its ranks
  /// have adopted one. It is kept by its owner until the group is closed, or this is shut down.
  /// `maker` is as device_of() says. Any thread. Throws ConfigError, and NotInitializedError after
  /// shutdown.
  void adopt_nccl(size_t number, nccl::Comm* communicator, const std::filesystem::path& maker);

  /// Tells the peers `cause`, ends the thread and fails what is still in flight. Without a cause
  /// the peers are told nothing: they will see the process end. In a forked child it does nothing.
  /// Idempotent; any thread but the engine's own.
  void shutdown(const std::string& cause) noexcept;

 private:
  void wake();
  void wake_for(Deadline deadline);
  void work_for(const Handle& until);
  void serve();
  bool drive(const Handle* until, double spin_us) noexcept;
  bool drive_on(const Handle* until, double spin_us);
  Deadline world_sleeps_until() const;
  Progress advance();
  void push_taken();
  void retire_idle();
  void end_retired();
  void ask_others();
  bool give_up();
  Deadline deadline() const;
  void fail(const Group* only, const std::exception_ptr& error);
  void settle();

  const EngineConfig config_;
  const int rank_;
  const int size_;
  const pid_t pid_;  // of the process that owns the thread
  EventLog events_;
  std::atomic<uint64_t> reach_from_{kUsualReachBytes};
  std::unique_ptr<Transport> transport_;
  Serving serving_;
  std::atomic<bool> is_exposed_{false};  // to its own device

  std::mutex adopting_;  // one after another

  RequestQueue queue_;
  std::vector<RequestQueue::Queued> taken_;  // out of the queue; guarded by turn_

  /// 1: the thread has something to do. A futex, not a condition variable: destroying one of those
  /// in a forked child would wait for a thread that is not there.
  std::atomic<uint32_t> is_wanted_{0};

  /// While the engine sleeps with operations of the world in flight: until when; else never. A
  /// request to the world stands behind those and cannot help them, so it wakes nobody unless its
  /// own time is up earlier. Where ranks ask each other what comes next it may be what they lack.
  std::atomic<Deadline> sleeps_until_{kNever};

  std::mutex turn_;  // whoever holds it is the engine
  const GroupHome home_;
  const std::shared_ptr<Group> world_;        // guarded by turn_
  std::vector<std::shared_ptr<Group>> busy_;  // those with operations; guarded by turn_
  std::mutex retired_mutex_;
  /// Closed, and last held by the engine's thread: to end one may wait for its device, which holds
  /// up all others. Guarded by retired_mutex_.
  std::vector<std::shared_ptr<Group>> retired_;
  Deadline ask_at_{};  // of ask_others(); guarded by turn_
  std::thread thread_;
};

}  // namespace ringsync
