#pragma once

// Memory of the host that a device reads and writes directly and peers see: pinned once, because
// that takes 60 us a MiB, and handed out again and again.

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "base/free_list.h"
#include "base/span.h"
#include "device/plugin_abi.h"

namespace ringsync {

/// Any thread.
class PinnedPool : public std::enable_shared_from_this<PinnedPool> {
 public:
  /// Makes memory that peers see, or throws Error where there is no room.
  using Allocate = std::function<std::shared_ptr<std::byte>(size_t)>;

  PinnedPool(const RsDeviceApi& api, Allocate allocate);
  PinnedPool(const PinnedPool&) = delete;
  PinnedPool& operator=(const PinnedPool&) = delete;
  ~PinnedPool();

  /// As much as `bytes`, holding anything; goes back to the pool with the last pointer. Where the
  /// system refuses to pin it is ordinary memory, and the device copies slowly. Throws Error.
  std::shared_ptr<std::byte> lend(size_t bytes);

 private:
  struct Chunk {
    std::shared_ptr<std::byte> memory;
    MutableByteSpan pinned;  // empty where it was refused
    FreeList free;
  };

  std::byte* take(size_t length);  // null where there is no room
  void add_chunk(size_t length);
  void give_back(const std::byte* address, size_t length);

  const RsDeviceApi& api_;
  const Allocate allocate_;
  const pid_t pid_;  // of the process that has the device; a forked child has none
  std::mutex mutex_;
  std::map<const std::byte*, Chunk> chunks_;  // by address; guarded by mutex_
};

}  // namespace ringsync
