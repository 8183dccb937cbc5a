#include "transport/local_board.h"

#include <utility>

namespace ringsync {

LocalBoard::LocalBoard(size_t self, std::vector<Queue> queues, MailboxLayout layout)
    : self_(self),
      queues_(std::move(queues)),
      layout_(layout),
      writer_(queues_[self].block.bytes, layout) {
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

size_t LocalBoard::block_bytes(const MailboxLayout& layout) {
  return layout.bytes() + kCacheLineBytes;
}

void LocalBoard::close() noexcept {
  closed_word(self_).store(1, std::memory_order_release);
  for (size_t i = 0; i < queues_.size(); ++i) {
    if (i != self_) queues_[i].peer->ring();
  }
}

bool LocalBoard::is_closed(int rank) const {
  return closed_word(static_cast<size_t>(rank)).load(std::memory_order_acquire) != 0;
}

/// Behind the ring, on a line of its own.
std::atomic<uint32_t>& LocalBoard::closed_word(size_t rank) const {
  return *reinterpret_cast<std::atomic<uint32_t>*>(queues_[rank].block.bytes.data() +
                                                   layout_.bytes());
}

}  // namespace ringsync
