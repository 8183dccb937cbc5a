#include "base/free_list.h"

#include <algorithm>
#include <iterator>

namespace ringsync {

std::optional<size_t> FreeList::take(size_t length) {
  const auto fit =
      std::ranges::find_if(free_, [length](const auto& gap) { return gap.second >= length; });
  if (fit == free_.end()) return std::nullopt;
  const auto [offset, room] = *fit;
  free_.erase(fit);
  if (room > length) free_[offset + length] = room - length;
  return offset;
}

void FreeList::give_back(size_t offset, size_t length) {
  auto gap = free_.emplace(offset, length).first;
  if (const auto next = std::next(gap); next != free_.end() && offset + length == next->first) {
    gap->second += next->second;
    free_.erase(next);
  }
  if (gap == free_.begin()) return;
  if (const auto previous = std::prev(gap); previous->first + previous->second == offset) {
    previous->second += gap->second;
    free_.erase(gap);
  }
}

}  // namespace ringsync
