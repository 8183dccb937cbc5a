#pragma once

// One direction of a connection: a ring of slots in shared memory with one writer and one reader,
// or several that all read every segment. It knows nothing of what the segments hold, nor who
// sleeps.

#include <atomic>
#include <cstdint>

#include "base/span.h"

namespace ringsync {

/// Where the slots of a mailbox lie.
struct MailboxLayout {
  size_t segment_bytes = 0;
  size_t slots = 0;
  size_t readers = 1;

  /// A slot is a line with its stamp and the segment. The odd line also keeps slots of different
  /// mailboxes from sharing page offsets: equal offsets (4 KiB aliasing) cost a factor of three.
  size_t slot_bytes() const { return kCacheLineBytes + segment_bytes; }
  /// Readers count on a line of their own each.
  size_t bytes() const { return readers * kCacheLineBytes + slots * slot_bytes(); }
};

/// Segments of at most 64 KiB stay in a core's second-level cache on their way (measured: best of
/// 16 KiB to 1 MiB for large messages); smaller ones where many peers would make an inbox large.
/// All the slots that an inbox has room for are used in turn: a line is written again only after it
/// has left the reader's second-level cache (1 or 2 MiB). Writing a line that the other core still
/// holds costs five times as much (64 KiB there and back, slots of 64 KiB: 4 slots 12 us, 16 slots
/// 5.8 us, 32 or 64 slots 4.2 us). `inbox_bytes` are those of all mailboxes of one rank together;
/// those of one that all others read count once.
MailboxLayout mailbox_layout(size_t peers, size_t inbox_bytes);

/// Where `one` stands among all positions but `left_out`: where blocks hold something for each
/// other rank.
inline size_t place_among_others(size_t one, size_t left_out) {
  return one < left_out ? one : one - 1;
}

/// The writer's end. One thread at a time.
class MailboxWriter {
 public:
  MailboxWriter(MutableByteSpan memory, MailboxLayout layout) : memory_(memory), layout_(layout) {}

  size_t segment_bytes() const { return layout_.segment_bytes; }
  /// Empty when the ring is full. Throws Error for more than a segment.
  MutableByteSpan reserve(size_t bytes);
  void commit();
  /// The ring is full, and `reader` is one of those who have not released its oldest segment.
  bool is_behind(size_t reader) const;

 private:
  MutableByteSpan memory_;
  MailboxLayout layout_;
  uint64_t written_ = 0;
  uint64_t released_ = 0;  // by all readers, last seen; read again only when the ring looks full
};

/// The reader's end. One thread at a time.
class MailboxReader {
 public:
  MailboxReader(MutableByteSpan memory, MailboxLayout layout, size_t reader = 0)
      : memory_(memory), layout_(layout), reader_(reader) {}

  ByteSpan peek(size_t bytes) const;
  void release();

 private:
  MutableByteSpan memory_;
  MailboxLayout layout_;
  size_t reader_ = 0;
  uint64_t read_ = 0;
};

}  // namespace ringsync
