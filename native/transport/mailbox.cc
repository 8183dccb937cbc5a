#include "transport/mailbox.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace ringsync {
namespace {

constexpr size_t kLargestSegmentBytes = 64 * 1024;
constexpr size_t kSmallestSegmentBytes = 4 * 1024;
/// So that what goes before the data of a small operation does not push it over a power of two.
constexpr size_t kPreambleBytes = 512;
/// One being filled, one being read, two in between to absorb jitter.
constexpr size_t kFewestSlots = 4;

using Counter = std::atomic<uint64_t>;
static_assert(Counter::is_always_lock_free, "shared memory needs address-free atomics");

/// Segments that a reader is through with; written by it alone, on a line of its own.
Counter& released_counter(MutableByteSpan memory, size_t reader) {
  return *reinterpret_cast<Counter*>(memory.data() + reader * kCacheLineBytes);
}

std::byte* slot_at(MutableByteSpan memory, const MailboxLayout& layout, uint64_t index) {
  return memory.data() + layout.readers * kCacheLineBytes +
         (index % layout.slots) * layout.slot_bytes();
}

/// Number, from 1, of the segment that a slot holds; written by the writer alone.
Counter& stamp_of(std::byte* slot) { return *reinterpret_cast<Counter*>(slot); }

}  // namespace

MailboxLayout mailbox_layout(size_t peers, size_t inbox_bytes) {
  const size_t share = inbox_bytes / std::max<size_t>(peers, 1);
  const size_t segment =
      std::clamp(share / kFewestSlots, kSmallestSegmentBytes, kLargestSegmentBytes);
  return {segment / kCacheLineBytes * kCacheLineBytes + kPreambleBytes,
          std::max(share / segment, kFewestSlots)};
}

MutableByteSpan MailboxWriter::reserve(size_t bytes) {
  if (bytes > layout_.segment_bytes) {
    throw Error("[transport] a segment of " + std::to_string(bytes) + " bytes does not fit " +
                std::to_string(layout_.segment_bytes) + ". Correct the caller.");
  }
  if (written_ - released_ >= layout_.slots) {
    released_ = written_;
    for (size_t reader = 0; reader < layout_.readers; ++reader) {
      released_ =
          std::min(released_, released_counter(memory_, reader).load(std::memory_order_acquire));
    }
    if (written_ - released_ >= layout_.slots) return {};
  }
  return {slot_at(memory_, layout_, written_) + kCacheLineBytes, bytes};
}

void MailboxWriter::commit() {
  std::byte* const slot = slot_at(memory_, layout_, written_);
  ++written_;
  stamp_of(slot).store(written_, std::memory_order_release);
}

bool MailboxWriter::is_behind(size_t reader) const {
  return written_ - released_counter(memory_, reader).load(std::memory_order_acquire) >=
         layout_.slots;
}

ByteSpan MailboxReader::peek(size_t bytes) const {
  std::byte* const slot = slot_at(memory_, layout_, read_);
  if (stamp_of(slot).load(std::memory_order_acquire) != read_ + 1) return {};
  return {slot + kCacheLineBytes, bytes};
}

void MailboxReader::release() {
  ++read_;
  released_counter(memory_, reader_).store(read_, std::memory_order_release);
}

}  // namespace ringsync
