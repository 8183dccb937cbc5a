#pragma once

// Signals belong to the threads of the interpreter.

#include <csignal>

namespace ringsync {

/// Keeps signals away from the calling thread, so that they reach one that can act on them.
inline void block_signals() noexcept {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace ringsync
