#pragma once

// What the ranks of a host say to all others at once: each writes into one ring that all read.

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "transport/block.h"
#include "transport/mailbox.h"
#include "transport/transport.h"
#include "transport/waiter.h"

namespace ringsync {

class LocalBoard final : public Board {
 public:
  /// A rank of the group, and the memory of its ring.
  struct Queue {
    std::shared_ptr<Peer> peer;
    Block block;
  };

  /// `queues` by position, this rank's own at `self`.
  LocalBoard(size_t self, std::vector<Queue> queues, MailboxLayout layout);

  /// Memory of one rank's ring, and of the word that says whether it takes part.
  static size_t block_bytes(const MailboxLayout& layout);

  size_t segment_bytes() const override { return writer_.segment_bytes(); }
  MutableByteSpan reserve(size_t bytes) override { return writer_.reserve(bytes); }
  void commit() override;
  bool is_behind(int rank) const override;
  ByteSpan peek(int rank, size_t bytes) override;
  void release(int rank) override;
  void close() noexcept override;
  bool is_closed(int rank) const override;

 private:
  std::atomic<uint32_t>& closed_word(size_t rank) const;

  const size_t self_;
  const std::vector<Queue> queues_;
  const MailboxLayout layout_;
  MailboxWriter writer_;
  std::vector<MailboxReader> readers_;  // by position; unused at `self_`
};

}  // namespace ringsync
