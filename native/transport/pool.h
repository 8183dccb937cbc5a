#pragma once

// Registered memory of one rank: slabs that peers can see, kept for the engine's whole life because
// peers keep them mapped, and handed out in pieces again and again.

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/free_list.h"
#include "transport/block.h"
#include "transport/transport.h"

namespace ringsync {

/// Key under which `rank` shares its registered memory `id`.
std::string memory_key(int rank, uint64_t id);

/// Any thread.
class Pool : public std::enable_shared_from_this<Pool> {
 public:
  /// Of `rank` among `size`, all of which can see what is in it.
  Pool(BlockSource& source, int rank, int size);

  /// Zeroed memory, shared before it is returned; goes back to the pool with the last pointer.
  std::shared_ptr<std::byte> allocate(size_t bytes);
  Registration locate(ByteSpan bytes) const;
  /// From now on nothing that is given back is handed out again: a peer that has not heard of this
  /// rank's leaving may still write there.
  void retire() noexcept { is_retired_ = true; }

 private:
  struct Slab {
    uint64_t id = 0;
    Block block;
    FreeList free;
  };

  static std::byte* take_from(Slab& slab, size_t bytes);
  std::byte* take(size_t bytes);  // null where there is no room
  std::byte* take_new(size_t bytes);
  void give_back(const std::byte* address, size_t bytes);

  BlockSource& source_;
  const int rank_;
  const int size_;
  const int pid_;  // of the process whose memory it is; a forked child gives nothing back
  std::atomic<bool> is_retired_{false};
  mutable std::mutex mutex_;
  std::map<const std::byte*, Slab> slabs_;  // by address; guarded by mutex_
  std::atomic<uint64_t> last_id_{0};
};

}  // namespace ringsync
