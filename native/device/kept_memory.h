#pragma once

// Memory of devices that other processes may have open, from one engine of a process to the next.
// The driver never gets it back; who may lend it again, and when, is for those who lend it.

#include <sys/types.h>

#include <compare>
#include <cstddef>
#include <map>
#include <mutex>

#include "device/plugin_abi.h"

namespace ringsync {

/// Any thread.
class KeptMemory {
 public:
  /// Only what is wholly alike stands for one another.
  struct Kind {
    const RsDeviceApi* api = nullptr;
    int ordinal = 0;
    size_t bytes = 0;
    pid_t owner = 0;  // a forked child has none of its parent's

    auto operator<=>(const Kind&) const = default;
  };

  /// Null where there is none.
  std::byte* take(const Kind& kind) {
    const std::scoped_lock lock(mutex_);
    const auto found = kept_.find(kind);
    if (found == kept_.end()) return nullptr;
    std::byte* const memory = found->second;
    kept_.erase(found);
    return memory;
  }
  void keep(const Kind& kind, std::byte* memory) {
    const std::scoped_lock lock(mutex_);
    kept_.emplace(kind, memory);
  }

 private:
  std::mutex mutex_;
  std::multimap<Kind, std::byte*> kept_;  // guarded by mutex_
};

}  // namespace ringsync
