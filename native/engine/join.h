#pragma once

// Ranks that have nothing more to do: who has joined, and how such a rank takes part, with zeros,
// in what the others do until all have.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/operation.h"

namespace ringsync {

/// Read off the headers of every round, so that all ranks know the same.
class JoinedRanks {
 public:
  explicit JoinedRanks(int size) : since_(static_cast<size_t>(size)) {}

  /// Of a round, by rank.
  void note(const std::vector<Header>& headers);
  /// All have joined and know it.
  void forget();

  bool is_any() const { return count_ > 0; }
  bool are_all() const { return count_ == since_.size(); }
  bool has(size_t rank) const { return since_[rank].has_value(); }
  /// Who came last, by the rounds in which they were first seen; of one round, whose call was
  /// later. Only if any has joined.
  int last() const;
  /// Most calls without a name that a joined rank had made.
  uint64_t calls() const { return calls_; }

 private:
  struct Since {
    uint64_t sequence = 0;
    int64_t submitted_ns = 0;
    auto operator<=>(const Since&) const = default;
  };

  std::vector<std::optional<Since>> since_;  // by rank
  size_t count_ = 0;
  uint64_t calls_ = 0;
};

/// Why `call` cannot be done without the ranks that have joined, in one sentence; else nothing.
/// `ranks` are the ranks' numbers in the world.
std::optional<std::string> find_need_of(const JoinedRanks& joined, const Header& call,
                                        const std::vector<int>& ranks);

/// A call of the others, done here with zeros. One thread at a time.
class StandIn {
 public:
  /// `call` is the header that all ranks agree on, `headers` are those of all. Throws Error when
  /// there is no memory for the zeros.
  StandIn(const GroupView& group, const std::vector<Header>& headers, const Header& call);

  const Header& call() const { return call_; }
  Operation& operation() { return operation_; }
  const Operation& operation() const { return operation_; }

 private:
  const Header call_;
  const std::shared_ptr<std::byte> zeros_;
  Operation operation_;
};

}  // namespace ringsync
