#pragma once

// The path between two ranks of a host: a mailbox in each direction, and the peer's memory.

#include <map>
#include <memory>

#include "transport/block.h"
#include "transport/mailbox.h"
#include "transport/transport.h"
#include "transport/waiter.h"

namespace ringsync {

class LocalConnection final : public Connection, public PeerMemory {
 public:
  /// `inbox` and `outbox` hold the mailboxes of `reader` and `writer`; `source` outlives it.
  LocalConnection(std::shared_ptr<Peer> self, std::shared_ptr<Peer> peer, BlockSource& source,
                  Block inbox, Block outbox, MailboxReader reader, MailboxWriter writer);

  size_t segment_bytes() const override { return writer_.segment_bytes(); }
  MutableByteSpan reserve(size_t bytes) override { return writer_.reserve(bytes); }
  void commit() override;
  ByteSpan peek(size_t bytes) override { return reader_.peek(bytes); }
  void release() override;
  PeerMemory& memory() override { return *this; }
  MutableByteSpan window(uint64_t id) override;
  bool read(uint64_t address, MutableByteSpan into) override;
  bool write(ByteSpan from, uint64_t address) override;
  std::optional<LostPeer> lost() const override;

 private:
  template <typename Copy>
  bool unless_lost(const Copy& copy);

  std::shared_ptr<Peer> self_;
  std::shared_ptr<Peer> peer_;
  BlockSource& source_;
  Block inbox_;
  Block outbox_;
  MailboxReader reader_;
  MailboxWriter writer_;
  std::map<uint64_t, Block> windows_;
};

}  // namespace ringsync
