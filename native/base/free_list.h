#pragma once

// Which pieces of a stretch of memory are free: handed out in order of place, and merged with their
// neighbours when they come back.

#include <cstddef>
#include <map>
#include <optional>

namespace ringsync {

/// One thread at a time.
class FreeList {
 public:
  /// Of a stretch that is free from `first` on, to `end`.
  FreeList(size_t first, size_t end) : free_{{first, end - first}} {}

  /// Where a piece begins that is `length` long; nothing where there is no room. Takes time linear
  /// in the number of gaps.
  std::optional<size_t> take(size_t length);
  void give_back(size_t offset, size_t length);

 private:
  std::map<size_t, size_t> free_;  // offset to length; no two touch
};

}  // namespace ringsync
