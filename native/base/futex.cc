#include "base/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace ringsync {
namespace {

int operation(int private_operation, Sharing sharing) {
  return sharing == Sharing::kThreads ? private_operation : private_operation & ~FUTEX_PRIVATE_FLAG;
}

}  // namespace

void futex_wait(const std::atomic<uint32_t>& word, uint32_t expected, Deadline deadline,
                Sharing sharing) {
  timespec until{};
  timespec* limit = nullptr;
  if (deadline != kNever) {
    const auto ns =
        std::chrono::duration_cast<std::chrono::nanoseconds>(deadline.time_since_epoch());
    until.tv_sec = static_cast<time_t>(ns.count() / 1'000'000'000);
    until.tv_nsec = static_cast<long>(ns.count() % 1'000'000'000);
    limit = &until;
  }
  // FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time, so a spurious wake-up loses nothing.
  ::syscall(SYS_futex, &word, operation(FUTEX_WAIT_BITSET_PRIVATE, sharing), expected, limit,
            nullptr, FUTEX_BITSET_MATCH_ANY);
}

void futex_wake_all(std::atomic<uint32_t>& word, Sharing sharing) {
  ::syscall(SYS_futex, &word, operation(FUTEX_WAKE_PRIVATE, sharing), INT_MAX, nullptr, nullptr, 0);
}

}  // namespace ringsync
