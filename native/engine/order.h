#pragma once

// What comes next where the ranks of a group have not submitted alike. As long as their first calls
// are the same, nobody asks. Where they are not, each rank tells what it has, and the first rank,
// as soon as all have something in common, says in which order that comes.

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/footprint.h"
#include "engine/operation.h"

namespace ringsync {

/// One thread at a time.
class Order {
 public:
  /// Both outlive it.
  Order(Operations& operations, const GroupView& group);

  /// The last of the operations has just been submitted.
  void add();
  /// One is done, in the order that all ranks share; it is still there.
  void remove(const Operation& operation);
  /// The others are done with a call of theirs, in which this rank, having joined, had no part.
  void remove(const Header& call);

  /// Before an announcement: puts first what the first rank has announced already, else what came
  /// next last time. So those who keep to an order of their own agree without asking. Never parts a
  /// call.
  void foresee();
  /// What came next last time is not there yet: it may be about to be submitted.
  bool is_waiting() const;

  /// In round `sequence` ranks have announced other calls; `headers` by rank.
  void begin(uint64_t sequence, const std::vector<Header>& headers);
  /// Between begin() and kDone of advance().
  bool is_open() const { return is_open_; }
  /// kDone once it is said what comes next, and that has been put first. Never blocks. Throws Error
  /// for a message that no rank could have written.
  Progress advance();
  /// Takes a message of `rank` that is no announcement; at any time, because the first rank does
  /// not wait for what the others tell. Throws Error likewise.
  void hear(int rank, ByteSpan message);
  /// Ends it for good: the peers will hear no more. Perhaps amid an add().
  void abandon() { is_open_ = has_begun_ = false; }

  // Only while it is open.

  /// Ranks that have not told that they have `operation`; if all have, the one who has to say what
  /// comes next.
  std::vector<int> missing_for(const Operation& operation) const;
  /// What `rank` announced instead.
  const std::string& announced_by(int rank) const { return announced_[static_cast<size_t>(rank)]; }
  int64_t began_ns() const { return began_ns_; }

 private:
  using Keys = std::vector<uint64_t>;
  using Head = Operations::iterator;

  /// A call of this rank that is not done. A name may be used again, a number is not.
  struct Own {
    Head head;
    uint64_t number = 0;
    /// May go before what was submitted earlier: it shares no memory with that, and there was no
    /// barrier among it.
    bool is_free = true;
  };
  struct Untold {
    uint64_t key = 0;
    uint64_t number = 0;
  };

  bool tell();
  bool listen();
  void decide();
  void note(int rank, uint64_t key);
  bool is_common(uint64_t key) const;
  void look_again();
  void forget(uint64_t key, bool is_named);
  void note_own(Head operation);
  Head put_before(Head place, uint64_t key);
  bool write(Notice notice, const Keys& keys);
  bool is_untold(const Untold& one) const;
  size_t most_keys() const { return group_.carried_limit_bytes() / sizeof(uint64_t); }

  Operations& operations_;
  const GroupView& group_;
  bool is_open_ = false;
  uint64_t sequence_ = 0;
  int64_t began_ns_ = 0;
  std::vector<std::string> announced_;  // by rank

  // All below is kept from when ranks first had to agree.
  bool has_begun_ = false;
  uint64_t number_ = 0;
  std::unordered_map<uint64_t, Own> own_;           // by key
  uint64_t newest_ = 0;                             // key of the call that was submitted last
  Footprint footprint_;                             // of all that is in flight
  size_t barriers_ = 0;                             // of that
  std::deque<Untold> untold_;                       // in order of submission; some are done
  std::vector<std::unordered_set<uint64_t>> told_;  // by rank: keys of calls that are not done
  std::vector<char> joined_;  // by rank, since it is open: they have whatever others have
  Keys common_;               // what all have told; some are done
  Keys next_;                 // what is said to come next
  std::unordered_set<uint64_t> agreed_;  // of that, what is not done: nothing goes before
  std::unordered_map<uint64_t, uint64_t> successors_;  // what followed a name last time
  uint64_t last_ = 0;
};

}  // namespace ringsync
