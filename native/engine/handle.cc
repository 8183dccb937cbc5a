#include "engine/handle.h"

#include <utility>

namespace ringsync {

void Handle::set_result(Result result) { result_ = std::move(result); }

void Handle::wait(Deadline deadline) {
  uint32_t state = kPending;
  if (state_.compare_exchange_strong(state, kAwaited) || state == kAwaited) {
    futex_wait(state_, kAwaited, deadline);
  }
}

void Handle::complete(std::exception_ptr error) {
  error_ = std::move(error);
  if (state_.exchange(kDone) == kAwaited) futex_wake_all(state_);
}

}  // namespace ringsync
