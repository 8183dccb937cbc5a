#include "device/nccl_thread.h"

#include <unistd.h>

#include <utility>

#include "base/forget.h"
#include "base/futex.h"
#include "base/signals.h"

namespace ringsync {
namespace {

/// For a communicator to take its leave of the others, or for a device to come past what was
/// aborted, each of which takes a second at most; and some more.
constexpr auto kLeave = std::chrono::seconds(2);

}  // namespace

NcclThread::NcclThread(std::shared_ptr<Device> device, NcclChoice choice,
                       const NcclCommunicator::Place& place, size_t room_bytes,
                       const std::shared_ptr<NcclTalk>& talk)
    : pid_(::getpid()),
      shared_(std::make_shared<Shared>(std::move(device), std::move(choice), place, room_bytes)) {
  try {
    thread_ = std::thread([shared = shared_, talk]() mutable {
      block_signals();
      shared->service.work(*talk);
      uint32_t running = 0;
      if (shared->end.compare_exchange_strong(running, 1)) {
        futex_wake_all(shared->end);
      } else {
        // Whoever waits no longer may be at the process's end, when nothing can be given back.
        forget(std::move(shared));
      }
    });
  } catch (const std::exception& error) {
    shared_->service.note_failure("[nccl] it can have no thread: " + std::string(error.what()) +
                                  ". Raise the limit of processes and threads.");
    talk->tell({.has_failed = true});
  }
}

NcclThread::~NcclThread() {
  if (!thread_.joinable()) return;
  if (::getpid() == pid_) {
    leave();
    const Deadline deadline = Clock::now() + kLeave;
    while (shared_->end == 0 && Clock::now() < deadline) futex_wait(shared_->end, 0, deadline);
    uint32_t running = 0;
    if (!shared_->end.compare_exchange_strong(running, 2)) {
      thread_.join();
      return;
    }
  }
  forget(std::move(thread_));  // a forked child has none
  forget(std::move(shared_));
}

}  // namespace ringsync
