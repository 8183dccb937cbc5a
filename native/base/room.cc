#include "base/room.h"

#include <algorithm>
#include <limits>
#include <string>

namespace ringsync {
namespace {

/// What is left to the rest of the machine: at the very end the kernel ends some process.
constexpr size_t kReserveShare = 32;

}  // namespace

size_t free_room(std::istream& meminfo) {
  std::string key;
  size_t kib = 0;
  std::string unit;
  size_t reserve_kib = 0;
  size_t free_kib = 0;
  while (meminfo >> key >> kib) {
    std::getline(meminfo, unit);
    if (key == "MemTotal:") reserve_kib = kib / kReserveShare;
    if (key == "MemFree:") free_kib = kib;
    if (key != "MemAvailable:") continue;
    // The kernel's estimate without pushing others out. A guest with a GPU gave 0 now and then, by
    // our own refusals, and nearly all free just before and after: what is free is available.
    const size_t available_kib = std::max(kib, free_kib);
    // Where little is available, as in a guest that gives its memory back, half of it.
    return 1024 * (available_kib - std::min(available_kib / 2, reserve_kib));
  }
  return std::numeric_limits<size_t>::max();
}

}  // namespace ringsync
