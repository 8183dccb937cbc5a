#pragma once

// What a rank tells all others before it starts: the header of its next operation. Small operations
// travel in the announcement itself, several at once if several are queued, so that agreeing on
// them and moving them is one message.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/carried.h"
#include "engine/join.h"
#include "engine/operation.h"
#include "engine/order.h"

namespace ringsync {

/// Rounds of announcements among all ranks of a group, one after another. One thread at a time.
class Announcement {
 public:
  /// All outlive it. `order` gets what others tell in between.
  Announcement(Operations& operations, const GroupView& group, Order& order);

  /// Announces the first of the operations, and of those behind it what can be carried with it.
  /// There is one, and all stay where they are until the round is over.
  void begin(uint64_t sequence);
  /// Between begin() and end().
  bool is_open() const { return is_open_; }
  /// kDone once all ranks have announced. Never blocks.
  Progress advance();

  /// Ranks without which it cannot go on.
  std::vector<int> blocked_on() const;

  // The rest is for when it is done.

  /// All ranks have announced one call first, whatever they disagree on, or have joined. To be
  /// asked first.
  bool is_one_call();
  /// Until end() of the round in which all have joined.
  const JoinedRanks& joined() const { return joined_; }
  /// What those ranks have announced that have not joined. There is one.
  const Header& call() const { return headers_[reference_]; }
  /// What they disagree on, in one sentence; else nothing.
  std::optional<std::string> find_mismatch() const;
  /// By rank, of the first operation; once it is one call, those of joined ranks are like the
  /// others', of an array that nobody can reach. Until the next round.
  const std::vector<Header>& headers() const { return headers_; }
  /// Of an alltoall that all agree on: the rows that each rank has for each, as Problem::parts has
  /// its elements; else empty. Throws Error for splits that no rank could have written.
  std::vector<uint64_t> splits() const;
  /// All ranks that have not joined have sent the data of the first operation.
  bool is_carried() const;
  /// How many operations all ranks announced alike, the first included; 0 unless carried, 1 at
  /// most where any has joined, which knows only the first by more than its signature. Throws
  /// Error for a message that no rank could have written.
  size_t count_carried();
  /// Carried operation `index`; 0 is the first of all.
  Operations::iterator carried(size_t index) const { return carried_.at(index); }
  /// The data that the ranks sent of carried operation `index`, in order of rank; empty of a rank
  /// that has none to give, without those that have joined. `index` counts up from 0 from call to
  /// call. They are gone with the next call.
  std::span<const ByteSpan> take_carried(size_t index) {
    return carried_.take(index, messages_, joined_);
  }
  /// Ends the round and makes room for what comes next. Spans of carried data are gone then.
  void end();
  /// Ends the round for good: the peers will hear no more.
  void abandon() { is_open_ = false; }

 private:
  void write(MutableByteSpan room) const;
  void stand_in();
  ByteSpan next_message(int rank);
  ByteSpan message_of(int rank) const { return messages_[static_cast<size_t>(rank)]; }

  Operations& operations_;
  const GroupView& group_;
  Order& order_;
  // All of this round. They keep their memory, because to allocate it takes as long as a message.
  bool is_open_ = false;
  bool is_alike_ = false;
  Carried carried_;  // the first, and what is carried with it
  size_t message_bytes_ = 0;
  std::vector<Header> headers_;  // by rank
  size_t reference_ = 0;         // the first rank that has not joined
  JoinedRanks joined_;
  bool is_announced_ = false;
  std::vector<ByteSpan> messages_;  // by rank, once arrived
};

}  // namespace ringsync
