#pragma once

// The memory that operations in flight work on: what works on some of it must not go before them.

#include <cstddef>
#include <map>

#include "base/span.h"

namespace ringsync {

/// One thread at a time. Each call takes time logarithmic in what is in flight.
class Footprint {
 public:
  /// False if something in flight works on any of `bytes` too.
  bool add(MutableByteSpan bytes);
  /// What was added is done.
  void remove(MutableByteSpan bytes);

 private:
  /// Pieces that touch one another are one, until all of them are done.
  struct Area {
    const std::byte* end;
    size_t pieces;
  };

  std::map<const std::byte*, Area> areas_;  // by begin; none overlap
};

}  // namespace ringsync
