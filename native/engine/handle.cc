#include "engine/handle.h"

#include <sched.h>

#include <utility>

namespace ringsync {

Handle::Handle(size_t operations) : state_(kPending), operations_(operations), left_(operations) {}

void Handle::set_result(size_t operation, Result result) {
  results_.resize(operations_);
  results_[operation] = std::move(result);
}

void Handle::wait(Deadline deadline) {
  uint32_t state = kPending;
  if (state_.compare_exchange_strong(state, kAwaited) || state == kAwaited) {
    futex_wait(state_, kAwaited, deadline);
  } else if (state == kGated) {
    ::sched_yield();  // to whoever opens the gate, which takes no longer than the rest to fail
  }
}

void Handle::wait_put(Deadline deadline) {
  uint32_t state = kPending;
  const bool is_marked = state_.compare_exchange_strong(state, kAwaited) || state == kAwaited;
  // Once more, for the engine may not have seen the mark.
  if (is_marked && !is_put()) futex_wait(state_, kAwaited, deadline);
  if (state == kGated) ::sched_yield();  // as wait() does
}

void Handle::note_put(OnDevice work) {
  if (work.work) on_devices_.push_back(std::move(work));
  uint32_t state = kAwaited;
  // The word is changed, too: whoever is about to sleep on it does not.
  if (++put_ == operations_ && state_.compare_exchange_strong(state, kPending)) wake();
}

bool Handle::complete(const Times& times, std::exception_ptr error,
                      std::shared_ptr<const Gate> gate) {
  const int64_t first_started_ns = times_.started_ns;
  times_ = times;
  if (first_started_ns != 0) times_.started_ns = first_started_ns;
  if (!error_) error_ = std::move(error);
  if (--left_ > 0) return false;
  gate_ = std::move(gate);
  return state_.exchange(gate_ ? kGated : kDone) == kAwaited;
}

}  // namespace ringsync
