#pragma once

// Where the ranks of one communicator meet: a memfd that the maker of the id has, which others open
// through /proc, with a box for each ordered pair of ranks. It has no name, and nothing stays.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <thread>

#include "device/nccl_abi.h"

namespace fake_nccl {

using namespace ringsync::nccl;

inline constexpr int kMostRanks = 8;

/// Kinds of calls, for each of which NCCL may connect the ranks anew.
enum Kind : int { kSums, kParts, kGathering, kRoots, kMessages, kWindows, kKinds };

/// No wait here is longer, whatever has become of the others.
inline constexpr auto kLimit = std::chrono::seconds(30);

/// Returns true once `condition` holds; false if the wait is given up or too long.
template <typename Condition>
bool wait_until(const std::atomic<bool>& is_given_up, const Condition& condition) {
  const auto limit = std::chrono::steady_clock::now() + kLimit;
  while (!condition()) {
    if (is_given_up || std::chrono::steady_clock::now() > limit) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  return true;
}

/// Bytes from this rank to another, or the other way.
struct Message {
  int peer;
  bool is_sent;
  std::span<std::byte> bytes;
};

/// One rank's view of it.
class Meeting {
 public:
  /// False where the memory cannot be had.
  static bool make_id(UniqueId& id);
  /// Null where the id is none, or its maker has gone.
  static std::unique_ptr<Meeting> join(const UniqueId& id, int rank);

  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;
  ~Meeting();

  int joined() const;
  /// So many ranks have called this, each once for itself.
  std::atomic<int>& connected(int kind);
  /// Moves all of them at once. False as of wait_until.
  bool exchange(std::span<Message> messages, const std::atomic<bool>& is_given_up);

 private:
  struct Memory;
  struct Box;

  Meeting(Memory* memory, int rank, int fd) : memory_(memory), rank_(rank), fd_(fd) {}
  bool move(Message& message);

  Memory* const memory_;
  const int rank_;
  const int fd_;  // of the id, in the process that has made it; else below 0
};

}  // namespace fake_nccl
