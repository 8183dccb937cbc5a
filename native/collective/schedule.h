#pragma once

// What to send when, as data. A schedule says which ranges one rank reads and writes in which
// phase; it mentions no transport, no segment and no element type.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ringsync {

/// Values are part of the header that ranks exchange; append only.
enum class Collective : uint8_t {
  kAllreduce = 0,
  kAllgather = 1,
  kBroadcast = 2,
  kBarrier = 3,
  kReduceScatter = 4,
  kAlltoall = 5,
  /// Between two ranks; its schedule is that of a broadcast of the sender.
  kSend = 6,
  /// Of a rank that has nothing more to do; no data moves.
  kJoin = 7,
};

std::string to_string(Collective collective);

/// One rank's view of one collective call. Everything but `rank` is equal on all ranks.
struct Problem {
  Collective collective = Collective::kBarrier;
  int rank = 0;
  int size = 1;
  /// Elements that each rank contributes: `size` entries, all equal but for allgather and alltoall.
  std::vector<size_t> counts;
  int root = 0;
  /// Every rank reaches every other's buffers, so that steps may read and write peers in place.
  bool is_in_place = false;
  /// Elements of the parts that inputs are cut into, whole rows each, which `counts` does not tell.
  /// For reduce_scatter `size` entries, the same for every rank's input; for alltoall `size`
  /// entries of rank 0's input, then of rank 1's and so on; else none.
  std::vector<size_t> parts = {};
  /// Of float16 or bfloat16: a sum of many partial sums would lose digits that one has.
  bool is_narrow = false;

  /// Elements that rank `from` has for rank `to` in an alltoall.
  size_t part(int from, int to) const {
    return parts[static_cast<size_t>(from) * static_cast<size_t>(size) + static_cast<size_t>(to)];
  }
  /// The same call as another rank sees it.
  Problem seen_by(int other) const {
    Problem problem = *this;
    problem.rank = other;
    return problem;
  }
  bool operator==(const Problem&) const = default;
};

/// kInput is what the caller gave, kOutput what it gets; for allreduce and broadcast they are the
/// same memory and schedules name it kOutput.
enum class Buffer : uint8_t { kInput, kOutput };

/// Elements of one buffer, at the same place on every rank that a step names.
struct Range {
  Buffer buffer = Buffer::kOutput;
  size_t offset = 0;
  size_t count = 0;

  bool operator==(const Range&) const = default;
};

/// kReduceLast also applies the operation's factor and divisor: each element passes it exactly
/// once.
enum class Apply : uint8_t { kCopy, kReduce, kReduceLast };

/// Read `read` on the ranks `from`, apply, write the result to `write` on the ranks `to`. A
/// reduction adds in the listed order of `from`. The rank itself is among `to`. A message is from =
/// {peer}, to = {self}.
struct Step {
  int phase = 0;
  std::vector<int> from;
  Range read;
  std::vector<int> to;
  Range write;
  Apply apply = Apply::kCopy;
};

/// One rank's steps, in the order of their phases. Within a phase no rank writes a range that
/// another touches; `phases` is equal on all ranks.
struct Schedule {
  int phases = 0;
  std::vector<Step> steps;
};

/// Part `index` of `count` elements cut into `parts` of nearly equal length.
struct Chunk {
  size_t offset = 0;
  size_t count = 0;
};

inline Chunk chunk_of(size_t count, int parts, int index) {
  const auto edge = [&](int i) {
    // In this order the product cannot overflow before 2^64 elements.
    const auto n = static_cast<size_t>(parts);
    const auto k = static_cast<size_t>(i);
    return count / n * k + count % n * k / n;
  };
  return {edge(index), edge(index + 1) - edge(index)};
}

/// Elements of each of `parts` parts of `rows` rows: the first ones are a row longer where they do
/// not come out even, as Horovod and NumPy's array_split cut them.
inline std::vector<size_t> cut_rows(size_t rows, size_t row_elements, int parts) {
  const auto n = static_cast<size_t>(parts);
  std::vector<size_t> counts(n, rows / n * row_elements);
  for (size_t i = 0; i < rows % n; ++i) counts[i] += row_elements;
  return counts;
}

/// Length of the longest of `parts` parts.
inline size_t longest_chunk(size_t count, int parts) {
  const auto n = static_cast<size_t>(parts);
  return count / n + (count % n > 0 ? 1 : 0);
}

}  // namespace ringsync
