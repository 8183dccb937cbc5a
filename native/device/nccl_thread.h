#pragma once

// A thread that finds NCCL, joins a communicator, and gives it its calls. NCCL may take its time
// over each of these, and waits for other ranks in some, so nobody else does. What is called, and
// how ranks tell one another, is for those who use it.

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/span.h"
#include "device/device.h"
#include "device/nccl_communicator.h"

namespace ringsync {

/// Which NCCL a rank takes, as NcclLibrary says.
struct NcclChoice {
  bool is_wanted = false;
  std::filesystem::path chosen;
  std::vector<std::filesystem::path> candidates;
};

/// One thread at a time.
class NcclThread {
 public:
  /// What a rank has found: the version of its NCCL, 0 where it has none, and the id that it would
  /// have others join, if it is the first.
  struct Found {
    int version = 0;
    nccl::UniqueId id{};
  };
  /// Where calls are put: a stream of their own, with room on the device for one after the other.
  struct Stage {
    NcclCommunicator& communicator;
    NcclCommunicator::Turn turn;
    MutableByteSpan room;
  };
  /// Puts all that it takes on the stage's stream. Returns an event behind the last thing in which
  /// other ranks take part. Throws Error.
  using Call = std::function<DeviceEvent(const Stage&)>;

  /// Begins to look for it; `tell` is called once, by the thread. There will be room for
  /// `room_bytes`.
  NcclThread(std::shared_ptr<Device> device, NcclChoice choice,
             const NcclCommunicator::Place& place, size_t room_bytes,
             std::function<void(const Found&)> tell);
  NcclThread(const NcclThread&) = delete;
  NcclThread& operator=(const NcclThread&) = delete;
  /// Waits for no other rank, and not for long where the device or NCCL stands still: what they are
  /// at then is left to the process's end. In a forked child it does nothing.
  ~NcclThread();

  /// Begins to join: once, when all ranks have found the same version.
  void join(const nccl::UniqueId& id);
  /// All have joined.
  bool is_ready() const;
  /// Why there will be none, once: after a failure that somebody should know of.
  std::optional<std::string> take_failure();

  /// Once ready: has the call made behind those before it, on a stream that waits for the events.
  /// What it throws is the work's failure, and that of all behind it. Returns at once.
  std::shared_ptr<const StreamWork> post(std::vector<DeviceEvent> after, Call call);

  /// The others are not to be waited for any more: what has been posted ends, whole or not, as soon
  /// as NCCL and the device let it. Returns at once.
  void leave() noexcept;

 private:
  struct Shared;

  const pid_t pid_;  // of the process that has the thread
  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace ringsync
