#include "transport/local_board.h"

#include <utility>

namespace ringsync {
LocalBoard::LocalBoard(size_t self, std::vector<Queue> queues, MailboxLayout layout)
    : self_(self), queues_(std::move(queues)), writer_(queues_[self].block.bytes, layout) {
  for (size_t i = 0; i < queues_.size(); ++i) {
    readers_.emplace_back(queues_[i].block.bytes, layout,
                          i == self ? 0 : place_among_others(self, i));
  }
}

void LocalBoard::commit() {
  writer_.commit();
  for (size_t i = 0; i < queues_.size(); ++i) {
    if (i != self_) queues_[i].peer->ring();
  }
}

bool LocalBoard::is_behind(int rank) const {
  return writer_.is_behind(place_among_others(static_cast<size_t>(rank), self_));
}

ByteSpan LocalBoard::peek(int rank, size_t bytes) {
  return readers_[static_cast<size_t>(rank)].peek(bytes);
}

void LocalBoard::release(int rank) {
  readers_[static_cast<size_t>(rank)].release();
  queues_[static_cast<size_t>(rank)].peer->ring();
}

}  // namespace ringsync
