#include "hostsim/flags.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <ctime>

namespace ringsync::hostsim {
namespace {

/// How long a stream that is closed may go on waiting for a flag that nobody writes.
constexpr long kPatienceNs = 20'000'000;

/// A word that only waits are done on; std::atomic_ref takes no constant one.
std::atomic_ref<uint32_t> word(const uint32_t* flag) {
  return std::atomic_ref<uint32_t>(*const_cast<uint32_t*>(flag));
}

}  // namespace

void write_flag(uint32_t* flag, uint32_t value) {
  word(flag).store(value);
  ::syscall(SYS_futex, flag, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

uint32_t read_flag(const uint32_t* flag) { return word(flag).load(); }

bool has_reached(const uint32_t* flag, uint32_t value) {
  return static_cast<int32_t>(read_flag(flag) - value) >= 0;
}

void wait_for_change(const uint32_t* flag, uint32_t value) {
  const uint32_t seen = read_flag(flag);
  if (static_cast<int32_t>(seen - value) >= 0) return;
  const timespec patience{0, kPatienceNs};
  ::syscall(SYS_futex, flag, FUTEX_WAIT, seen, &patience, nullptr, 0);
}

}  // namespace ringsync::hostsim
