#pragma once

// Sleeping on a word of memory until it changes. Unlike a condition variable it
// returns when a signal arrives, so that Ctrl-C reaches the interpreter.

#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace ringsync {

/// Who sleeps on a word and who wakes them: threads of one process, or those of several that share
/// its memory, which takes the kernel a little longer.
enum class Sharing : uint8_t { kThreads, kProcesses };

/// Sleeps while `word` holds `expected`, until the deadline or a signal; may also wake without any
/// reason. Any thread.
void futex_wait(const std::atomic<uint32_t>& word, uint32_t expected, Deadline deadline,
                Sharing sharing = Sharing::kThreads);

/// Wakes every sleeper on `word`. Any thread.
void futex_wake_all(std::atomic<uint32_t>& word, Sharing sharing = Sharing::kThreads);

}  // namespace ringsync
