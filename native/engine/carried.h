#pragma once

// What travels in an announcement behind its header: the data of the first operation and of those
// that are queued behind it, as many as fit, each with its signature. Rounds and headers are
// announcement.h's matter.

#include <span>
#include <vector>

#include "engine/join.h"
#include "engine/operation.h"

namespace ringsync {

/// Where an array begins in a bucket on a device: tensors lie so, and kernels move vectors then.
inline constexpr size_t kBucketAlignment = 256;

/// Of one round after another. One thread at a time.
class Carried {
 public:
  /// `group` outlives it.
  explicit Carried(const GroupView& group) : group_(group) {}

  /// A round of `first`, alone and without its data unless choose() follows. It and all behind it
  /// stay where they are until the round is over.
  void begin(Operations::iterator first);
  /// Adds the first one's data and, unless it `is_alone`, those of `operations` that travel with
  /// it.
  void choose(Operations& operations, bool is_alone);

  size_t count() const { return chosen_.size(); }
  /// 0 is the first of all.
  Operations::iterator at(size_t index) const { return chosen_[index]; }
  /// Of the message, its header included. Only once chosen, as all below.
  size_t message_bytes() const { return message_bytes_; }
  /// Writes all but the header of the message in `room`.
  void write(MutableByteSpan room) const;

  /// How many all ranks announced alike, the first included: it alone if `is_alone`. `headers` and
  /// `messages` by rank, all of which carry the first one. Throws Error for a message that no rank
  /// could have written.
  size_t count_alike(std::span<const Header> headers, std::span<const ByteSpan> messages,
                     bool is_alone);
  /// The data that the ranks sent of operation `index`, by rank without those that have `joined`,
  /// and its own where it lies. Once each, in order, after count_alike(). Throws likewise.
  std::span<const ByteSpan> take(size_t index, std::span<const ByteSpan> messages,
                                 const JoinedRanks& joined);

 private:
  size_t whole_calls(size_t agreed) const;
  bool shares_memory(MutableByteSpan data) const;
  const Request& request(size_t index) const { return chosen_[index]->request(); }

  const GroupView& group_;
  // All of this round. They keep their memory, because to allocate it takes as long as a message.
  std::vector<Operations::iterator> chosen_;  // the first, and those that are carried with it
  std::vector<MutableByteSpan> before_;       // memory of all that were looked at
  size_t message_bytes_ = 0;
  std::vector<size_t> taken_bytes_;  // by rank: where the next operation begins
  std::vector<ByteSpan> sources_;    // by rank, of one operation
};

}  // namespace ringsync
