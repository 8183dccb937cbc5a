#pragma once

// Sleeping on a word of this process's memory until it changes. Unlike a condition variable it
// returns when a signal arrives, so that Ctrl-C reaches the interpreter.

#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace ringsync {

/// Sleeps while `word` holds `expected`, until the deadline or a signal; may also wake without any
/// reason. Any thread.
void futex_wait(const std::atomic<uint32_t>& word, uint32_t expected, Deadline deadline);

/// Wakes every sleeper on `word`. Any thread.
void futex_wake_all(std::atomic<uint32_t>& word);

}  // namespace ringsync
