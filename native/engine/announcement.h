#pragma once

// What a rank tells all others before it starts: the header of its next operation. Small operations
// travel in the announcement itself, several at once if several are queued, so that agreeing on
// them and moving them is one message.

#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/operation.h"

namespace ringsync {

/// Rounds of announcements among all ranks of a group, one after another. One thread at a time.
class Announcement {
 public:
  /// Both outlive it.
  Announcement(const std::deque<Operation>& operations, const GroupView& group);

  /// Announces the first of the operations, and those right behind it as long as all can be
  /// carried. There is one, and the first ones stay in place until the round is over.
  void begin(uint64_t sequence);
  /// Between begin() and end().
  bool is_open() const { return is_open_; }
  /// kDone once all ranks have announced. Never blocks.
  Progress advance();

  /// Ranks without which it cannot go on.
  std::vector<int> blocked_on() const;

  // The rest is for when it is done.

  /// What the ranks disagree on, in one sentence; else nothing. To be asked first.
  std::optional<std::string> find_mismatch();
  /// By rank, of the first operation. Until the next round.
  const std::vector<Header>& headers() const { return headers_; }
  /// Of an alltoall that all agree on: the rows that each rank has for each, as Problem::parts has
  /// its elements; else empty. Throws Error for splits that no rank could have written.
  std::vector<uint64_t> splits() const;
  /// How many operations all ranks announced alike, the first included; 0 unless carried. Throws
  /// Error for a message that no rank could have written.
  size_t count_carried();
  /// The data that the ranks sent of carried operation `index`, in order of rank; empty of a rank
  /// that has none to give. `index` counts up from 0 from call to call.
  /// They are gone with the next call.
  std::span<const ByteSpan> take_carried(size_t index);
  /// Ends the round and makes room for what comes next. Spans of carried data are gone then.
  void end();
  /// Ends the round for good: the peers will hear no more.
  void abandon() { is_open_ = false; }

 private:
  void write(MutableByteSpan room) const;
  bool shares_memory(size_t index) const;
  const Request& request(size_t index) const { return operations_[index].request(); }
  std::string name_of(size_t rank) const { return "rank " + std::to_string(group_.ranks[rank]); }
  ByteSpan message_of(int rank) const { return messages_[static_cast<size_t>(rank)]; }

  const std::deque<Operation>& operations_;
  const GroupView& group_;
  // All of this round. They keep their memory, because to allocate it takes as long as a message.
  bool is_open_ = false;
  std::vector<uint64_t> signatures_;  // of the operations behind the first
  size_t message_bytes_ = 0;
  std::vector<Header> headers_;  // by rank
  bool is_announced_ = false;
  std::vector<ByteSpan> messages_;   // by rank, once arrived
  std::vector<size_t> taken_bytes_;  // by rank: where the next carried operation begins
  std::vector<ByteSpan> sources_;    // by rank, of one carried operation
};

}  // namespace ringsync
