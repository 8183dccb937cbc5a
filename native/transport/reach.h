#pragma once

// How ranks write into each other's private memory, and how a rank puts an end to it. Whoever fails
// gives its arrays back to its caller, who may free them: from then on nobody may write there.

#include <memory>
#include <vector>

#include "transport/block.h"
#include "transport/waiter.h"

namespace ringsync {

/// True if private memory of `peer` can be read and written, which may be tried on its token.
bool can_reach(BlockSource& source, Peer& self, const Peer& peer);

/// Copies into private memory of `peer`; false when it takes no further part. Throws Error.
bool write_to(BlockSource& source, Peer& self, const Peer& peer, ByteSpan from, uint64_t address);

/// For a rank that takes no further part: waits until none of `peers` (empty at `self`'s place)
/// writes into its memory. False if one that was about to has not gone on in time.
bool await_writers(const Peer& self, const std::vector<std::shared_ptr<Peer>>& peers) noexcept;

}  // namespace ringsync
