#pragma once

// One direction of a connection: a ring of slots in shared memory with one writer and one reader.
// It knows nothing of what the segments hold, nor who sleeps.

#include <atomic>
#include <cstdint>

#include "base/span.h"

namespace ringsync {

/// Slots of a mailbox: one being filled, one being read, two in between to absorb jitter.
inline constexpr size_t kSlots = 4;

/// Where the slots of a mailbox lie, a pure function of the largest segment.
struct MailboxLayout {
  size_t segment_bytes = 0;

  /// A slot is a line with its stamp and the segment. The odd line also keeps slots of different
  /// mailboxes from sharing page offsets: equal offsets (4 KiB aliasing) cost a factor of three.
  size_t slot_bytes() const { return kCacheLineBytes + segment_bytes; }
  size_t bytes() const { return kCacheLineBytes + kSlots * slot_bytes(); }
};

/// Segments of at most 64 KiB stay in a core's second-level cache on their way (measured: best of
/// 16 KiB to 1 MiB for large messages); smaller ones where many peers would make an inbox large.
MailboxLayout mailbox_layout(size_t peers);

/// The writer's end. One thread at a time.
class MailboxWriter {
 public:
  MailboxWriter(MutableByteSpan memory, MailboxLayout layout) : memory_(memory), layout_(layout) {}

  MutableByteSpan reserve(size_t bytes);
  void commit();

 private:
  MutableByteSpan memory_;
  MailboxLayout layout_;
  uint64_t written_ = 0;
  uint64_t released_ = 0;  // last seen; read again only when the ring looks full
};

/// The reader's end. One thread at a time.
class MailboxReader {
 public:
  MailboxReader(MutableByteSpan memory, MailboxLayout layout) : memory_(memory), layout_(layout) {}

  ByteSpan peek(size_t bytes) const;
  void release();

 private:
  MutableByteSpan memory_;
  MailboxLayout layout_;
  uint64_t read_ = 0;
};

}  // namespace ringsync
