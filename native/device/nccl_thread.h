#pragma once

// A thread on which NCCL is found, joined and called. NCCL may take its time over each of these,
// and waits for other ranks in some, so nobody else does.

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "device/nccl_service.h"

namespace ringsync {

/// One thread at a time.
class NcclThread {
 public:
  /// Begins to look for it, and to join if all ranks do. There will be room for `room_bytes`.
  NcclThread(std::shared_ptr<Device> device, NcclChoice choice,
             const NcclCommunicator::Place& place, size_t room_bytes,
             const std::shared_ptr<NcclTalk>& talk);
  NcclThread(const NcclThread&) = delete;
  NcclThread& operator=(const NcclThread&) = delete;
  /// Waits for no other rank, and not for long where the device or NCCL stands still: what they are
  /// at then is left to the process's end. In a forked child it does nothing.
  ~NcclThread();

  /// All have joined.
  bool is_ready() const { return shared_->service.is_ready(); }
  /// Why there will be none, once: after a failure that somebody should know of.
  std::optional<std::string> take_failure() { return shared_->service.take_failure(); }

  /// Once ready: has the call made behind those before it. What it throws is the work's failure,
  /// and that of all behind it. Returns at once.
  std::shared_ptr<const StreamWork> post(NcclCall call) {
    return shared_->service.post(std::move(call));
  }

  /// Why a call, or what is at work, has failed; else null. Whoever sees work done that was posted
  /// and then no failure may believe in its values.
  std::exception_ptr failure() const { return shared_->service.failure(); }

  /// Nobody joins, or the others are not to be waited for any more: what has been posted ends,
  /// whole or not, as soon as NCCL and the device let it. Returns at once.
  void leave() noexcept { shared_->service.leave(); }

 private:
  /// What outlives whoever does not wait for the thread.
  struct Shared {
    Shared(std::shared_ptr<Device> device, NcclChoice choice, NcclCommunicator::Place place,
           size_t room_bytes)
        : service(std::move(device), std::move(choice), std::move(place), room_bytes) {}

    NcclService service;
    /// 1: the thread has ended, 2: nobody will wait for that.
    std::atomic<uint32_t> end{0};
  };

  const pid_t pid_;  // of the process that has the thread
  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace ringsync
