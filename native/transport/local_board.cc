#include "transport/local_board.h"

#include <string>
#include <utility>

#include "base/error.h"

namespace ringsync {
namespace {

/// Which of the readers of `writer`'s ring `reader` is: all others, in their order.
size_t place_of(size_t reader, size_t writer) { return reader < writer ? reader : reader - 1; }

}  // namespace

LocalBoard::LocalBoard(size_t self, std::vector<Queue> queues, MailboxLayout layout)
    : self_(self),
      queues_(std::move(queues)),
      layout_(layout),
      writer_(queues_[self].block.bytes, layout) {
  for (size_t i = 0; i < queues_.size(); ++i) {
    readers_.emplace_back(queues_[i].block.bytes, layout, i == self ? 0 : place_of(self, i));
  }
}

MutableByteSpan LocalBoard::reserve(size_t bytes) {
  if (bytes > layout_.segment_bytes) {
    throw Error("[transport] a segment of " + std::to_string(bytes) + " bytes does not fit " +
                std::to_string(layout_.segment_bytes) + ". Correct the caller.");
  }
  return writer_.reserve(bytes);
}

void LocalBoard::commit() {
  writer_.commit();
  for (size_t i = 0; i < queues_.size(); ++i) {
    if (i != self_) queues_[i].peer->ring();
  }
}

bool LocalBoard::is_behind(int rank) const {
  return writer_.is_behind(place_of(static_cast<size_t>(rank), self_));
}

ByteSpan LocalBoard::peek(int rank, size_t bytes) {
  return readers_[static_cast<size_t>(rank)].peek(bytes);
}

void LocalBoard::release(int rank) {
  readers_[static_cast<size_t>(rank)].release();
  queues_[static_cast<size_t>(rank)].peer->ring();
}

}  // namespace ringsync
