#include "bindings/keeper.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/forget.h"
#include "bindings/bindings.h"

namespace ringsync {

Keeper::~Keeper() {
  if (!engine_->is_exposed()) return;
  never_freed_.splice(never_freed_.end(), kept_);
  // Nobody can tell when that memory will have seen its last writer.
  forget(std::move(never_freed_));
}

void Keeper::keep(std::list<Kept> kept) {
  kept_.splice(kept_.end(), kept);
  sweep();
}

void Keeper::sweep() {
  std::list<Kept> done;
  while (!kept_.empty() && kept_.front().handle->is_done()) {
    done.splice(done.end(), kept_, kept_.begin());
  }
  if (!kept_.empty() && kept_.back().handle->is_done()) {
    done.splice(done.end(), kept_, std::prev(kept_.end()));
  }
  if (kept_.size() >= look_at_) {
    // One that is not done for long, a receive for instance, must not keep all behind it.
    for (auto at = kept_.begin(); at != kept_.end();) {
      const auto next = std::next(at);
      if (at->handle->is_done()) done.splice(done.end(), kept_, at);
      at = next;
    }
    look_at_ = std::max(kFewKept, 2 * kept_.size());
  }
  let_go(std::move(done));
}

bool Keeper::settle(Deadline deadline) const {
  std::vector<std::shared_ptr<Handle>> put;
  for (const Kept& kept : kept_) {
    if (kept.handle->is_put() && !kept.handle->is_done()) put.push_back(kept.handle);
  }
  {
    const GilRelease release;
    for (const auto& handle : put) {
      while (!handle->is_done() && Clock::now() < deadline) handle->wait(deadline);
    }
  }
  for (const auto& handle : put) {
    if (handle->is_done() && handle->error()) std::rethrow_exception(handle->error());
  }
  return std::ranges::all_of(put, [](const auto& handle) { return handle->is_done(); });
}

/// Last of all: to let go of an owner may run Python, which may come back here.
void Keeper::let_go(std::list<Kept> done) {
  // Looked at after the operations: what fails because of it fails later.
  if (!engine_->is_exposed()) return;
  for (auto at = done.begin(); at != done.end();) {
    const auto next = std::next(at);
    // No peer has heard of what was never announced, and a barrier has nothing to write to.
    if (!at->owner.is_none() && at->handle->times().started_ns != 0) {
      never_freed_.splice(never_freed_.end(), done, at);
    }
    at = next;
  }
}

}  // namespace ringsync
