#pragma once

// Bytes between two ranks: what a transport offers to the executor. What is sent when is decided by
// schedules; who waits, and how long, by the engine.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/span.h"
#include "transport/waiter.h"

namespace ringsync {

/// Where an array lies in memory that peers can see. `id` 0: nowhere, it is private.
struct Registration {
  uint64_t id = 0;
  uint64_t offset = 0;
};

/// Memory of one peer, as far as it can be seen or reached from here.
class PeerMemory {
 public:
  virtual ~PeerMemory() = default;

  /// The peer's registered memory `id` as a whole; empty when it cannot be seen from here. Throws
  /// RendezvousError where the peer has shared none, and Error where there was no room for it.
  virtual MutableByteSpan window(uint64_t id) = 0;
  /// Copies the peer's private memory at `address`, as the peer itself names it; false when the
  /// peer takes no further part. Only where Transport::can_reach(). Throws Error.
  virtual bool read(uint64_t address, MutableByteSpan into) = 0;
  /// Copies to there; likewise. Nothing is written once the peer's leave() has returned, unless
  /// the peer is_exposed() then.
  virtual bool write(ByteSpan from, uint64_t address) = 0;
};

/// One established path to one peer: a first-in first-out queue of segments in each direction and,
/// on the same host, the peer's memory. No length travels: both ends know each segment's size
/// beforehand, or what it holds tells. Used by one thread at a time; no call waits for a peer.
class Connection {
 public:
  virtual ~Connection() = default;

  /// Largest segment that fits.
  virtual size_t segment_bytes() const = 0;
  /// Room for the next segment to the peer; empty when the queue is full.
  virtual MutableByteSpan reserve(size_t bytes) = 0;
  /// Hands the reserved segment over and wakes the peer if it sleeps.
  virtual void commit() = 0;
  /// The next segment from the peer; empty when it has not arrived. What lies beyond the bytes that
  /// the peer reserved is unspecified.
  virtual ByteSpan peek(size_t bytes) = 0;
  /// Gives the peeked segment's room back to the peer.
  virtual void release() = 0;
  virtual PeerMemory& memory() = 0;
  /// Why the peer will never send again, and which rank is to blame; nothing while it takes part.
  virtual std::optional<LostPeer> lost() const = 0;
};

/// What the ranks of a group say to all others at once: a first-in first-out queue of segments that
/// each rank writes once and every other reads. Numbers are positions in the group. Else like a
/// connection.
class Board {
 public:
  virtual ~Board() = default;

  virtual size_t segment_bytes() const = 0;
  /// Room for the next segment; empty while a rank is_behind().
  virtual MutableByteSpan reserve(size_t bytes) = 0;
  virtual void commit() = 0;
  /// After a reserve() that found no room: `rank` is one of those who have not taken what is there.
  virtual bool is_behind(int rank) const = 0;
  virtual ByteSpan peek(int rank, size_t bytes) = 0;
  virtual void release(int rank) = 0;
  /// This rank takes no further part in the group, and the others are told. Any thread.
  virtual void close() noexcept = 0;
  /// `rank` takes no further part. All that it has written is there to be read.
  virtual bool is_closed(int rank) const = 0;
};

/// About how much memory the queues of one rank take.
struct Room {
  size_t inbox_bytes = 0;  // those of all connections to it together
  size_t board_bytes = 0;  // 0: the group needs no board
};

/// Ways from one rank to the others of a group.
struct Ways {
  std::vector<std::unique_ptr<Connection>> connections;  // by position; empty at its own
  std::unique_ptr<Board> board;                          // empty where there is none
};

/// One rank's own queues of a group that is being made, where the others find them. One thread at a
/// time; the transport outlives it.
class Offer {
 public:
  virtual ~Offer() = default;

  /// Waits for the others' offers. Once. Throws RendezvousError.
  virtual Ways connect(Deadline deadline) = 0;
  /// What has been offered is kept no more, unless it is connected: for when all are.
  virtual void withdraw() noexcept = 0;
};

/// What a rank tells of itself, and what others do, when something goes wrong.
class Testimony {
 public:
  virtual ~Testimony() = default;

  /// Has the process of `rank` write down its Python stacks. False where another rank has asked
  /// already, and will tell.
  virtual bool ask(int rank) = 0;
  /// Who `rank` is, and what it has written since it was asked, some tenths of a second ago, or why
  /// it has not.
  virtual std::string answer_of(int rank) const = 0;
  /// `rank` has gone on: others may ask.
  virtual void forget(int rank) = 0;
  /// Where this rank's process has to write when it is asked; -1 for a thread.
  virtual int stacks_fd() const = 0;
  /// Says to all what ends this rank's program, before it ends. Any thread.
  virtual void say_last_words(const std::string& words) noexcept = 0;
};

/// How ranks meet and what they share. Owned by an engine and outliving its connections.
class Transport {
 public:
  virtual ~Transport() = default;

  /// Makes this rank's queues of a new group of `ranks`, itself among them. All of `ranks` call
  /// this with the same `room` and `group`, a name that no other group has had. Any thread. Throws
  /// Error where there is no room, and RendezvousError.
  virtual std::unique_ptr<Offer> offer(const std::string& group, const std::vector<int>& ranks,
                                       Room room) = 0;
  /// Zeroed memory that peers can see, kept by the returned pointer. Any thread. Throws Error.
  virtual std::shared_ptr<std::byte> allocate(size_t bytes) = 0;
  /// Where `bytes` lie in registered memory; id 0 when any of them lies elsewhere. Any thread.
  virtual Registration locate(ByteSpan bytes) const = 0;
  /// True if this rank may read and write the private memory of every peer.
  virtual bool can_reach() const = 0;
  /// What this rank's threads sleep on.
  virtual Waiter& waiter() = 0;

  /// What ranks tell when something goes wrong.
  virtual Testimony& testimony() = 0;
  /// Takes no further part: tells all peers why, unless `cause` is empty, and waits, a second at
  /// most, until none of them writes into this rank's private memory; none will any more, unless
  /// is_exposed(). Registered memory peers may go on writing to; what is given back from now on is
  /// not handed out again. If it leaves because it `lost` another, they can name the other. Only
  /// the first call counts. Any thread.
  virtual void leave(const std::string& cause, const LostPeer* lost) noexcept = 0;
  /// That second was over while a peer, stopped in between, was still about to write: it may do so
  /// whenever it goes on, and what operations were given must never be freed. Known once leave()
  /// has returned. Any thread.
  virtual bool is_exposed() const = 0;
};

}  // namespace ringsync
