#pragma once

// Registered memory of one rank: blocks that peers can see, kept for the engine's whole life and
// handed out again once free, because peers keep them mapped.

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "transport/block.h"
#include "transport/transport.h"

namespace ringsync {

/// Key under which `rank` shares its registered memory `id`.
std::string memory_key(int rank, uint64_t id);

/// Any thread.
class Pool : public std::enable_shared_from_this<Pool> {
 public:
  Pool(BlockSource& source, int rank) : source_(source), rank_(rank) {}

  /// Zeroed memory, shared before it is returned; goes back to the pool with the last pointer.
  std::shared_ptr<std::byte> allocate(size_t bytes);
  Registration locate(ByteSpan bytes) const;

 private:
  struct Entry {
    uint64_t id = 0;
    Block block;
    bool is_free = false;
  };

  Entry& take(size_t bytes);  // mutex_ held
  void give_back(const std::byte* address);

  BlockSource& source_;
  const int rank_;
  mutable std::mutex mutex_;
  std::map<const std::byte*, Entry> entries_;  // by address; guarded by mutex_
  uint64_t last_id_ = 0;                       // guarded by mutex_
};

}  // namespace ringsync
