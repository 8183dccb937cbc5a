#include "engine/handle.h"

#include <utility>

namespace ringsync {

void Handle::set_result(Result result) { result_ = std::move(result); }

void Handle::complete(std::exception_ptr error) {
  error_ = std::move(error);
  state_.store(1, std::memory_order_release);
  futex_wake_all(state_);
}

}  // namespace ringsync
