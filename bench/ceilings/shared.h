#pragma once

// What the two ranks of a ceiling share: memory, counters, and waiting for each other. No model of
// an allreduce is here.

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>

namespace ceilings {

/// Adjacent cache lines are fetched in pairs; a counter alone on two lines disturbs no other.
constexpr size_t kAloneBytes = 128;

/// Where a second array begins within its page: at equal places of a page, loads wait for unrelated
/// stores whose last twelve address bits agree (4 KiB aliasing).
constexpr size_t kStaggerBytes = 2112;

/// Anonymous memory that a fork shares or copies; zeroed, touched by whoever writes it first.
class Mapping {
 public:
  /// Throws std::system_error where there is no such memory.
  Mapping(size_t bytes, bool is_shared)
      : bytes_(bytes),
        begin_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_ANONYMOUS | (is_shared ? MAP_SHARED : MAP_PRIVATE), -1, 0)) {
    if (begin_ == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  }
  ~Mapping() { munmap(begin_, bytes_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  /// `count` elements from `offset_bytes` on; valid as long as the mapping.
  template <typename T>
  std::span<T> view(size_t offset_bytes, size_t count) const {
    return {reinterpret_cast<T*>(static_cast<std::byte*>(begin_) + offset_bytes), count};
  }

 private:
  const size_t bytes_;
  void* const begin_;
};

/// Counts up; one rank writes it, the other waits for it.
class alignas(kAloneBytes) Counter {
 public:
  void set(int64_t value) { value_.store(value, std::memory_order_release); }
  /// Spins, for ever if need be: whoever started the ranks ends them.
  void wait_for(int64_t least) const {
    while (value_.load(std::memory_order_acquire) < least) {
    }
  }

 private:
  std::atomic<int64_t> value_{0};
};

/// A counter of each rank.
using Counters = std::array<Counter, 2>;

/// Returns once both ranks have come to `turn`.
inline void meet(Counters& counters, int rank, int64_t turn) {
  counters[rank].set(turn);
  counters[1 - rank].wait_for(turn);
}

}  // namespace ceilings
