#pragma once

// How much memory a machine has left.

#include <cstddef>
#include <istream>

namespace ringsync {

/// Bytes that may be taken without other processes being ended for it, by the text of
/// /proc/meminfo; without any word on that all there are.
size_t free_room(std::istream& meminfo);

}  // namespace ringsync
