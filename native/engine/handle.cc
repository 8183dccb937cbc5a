#include "engine/handle.h"

#include <utility>

namespace ringsync {

Handle::Handle(size_t operations) : state_(operations > 0 ? kPending : kDone), left_(operations) {}

void Handle::set_result(Result result) { result_ = std::move(result); }

void Handle::wait(Deadline deadline) {
  uint32_t state = kPending;
  if (state_.compare_exchange_strong(state, kAwaited) || state == kAwaited) {
    futex_wait(state_, kAwaited, deadline);
  }
}

bool Handle::complete(const Times& times, std::exception_ptr error) {
  times_ = times;
  if (!error_) error_ = std::move(error);
  return --left_ == 0 && state_.exchange(kDone) == kAwaited;
}

}  // namespace ringsync
