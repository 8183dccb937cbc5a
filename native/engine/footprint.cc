#include "engine/footprint.h"

#include <algorithm>
#include <iterator>

namespace ringsync {

bool Footprint::add(MutableByteSpan bytes) {
  if (bytes.empty()) return true;
  const std::byte* begin = bytes.data();
  Area own{begin + bytes.size(), 1};
  // Areas do not overlap, so that only the last one that begins before the end can reach into it,
  // then the one before that.
  for (auto at = areas_.lower_bound(own.end); at != areas_.begin();) {
    --at;
    if (at->second.end <= begin) break;
    begin = std::min(begin, at->first);
    own.end = std::max(own.end, at->second.end);
    own.pieces += at->second.pieces;
    at = areas_.erase(at);
  }
  areas_[begin] = own;
  return own.pieces == 1;
}

void Footprint::remove(MutableByteSpan bytes) {
  if (bytes.empty()) return;
  const auto area = std::prev(areas_.upper_bound(bytes.data()));
  if (--area->second.pieces == 0) areas_.erase(area);
}

}  // namespace ringsync
