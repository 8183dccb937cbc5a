#include "bindings/bound_engine.h"

#include <algorithm>
#include <utility>

#include "bindings/bindings.h"
#include "transport/registry.h"

namespace nb = nanobind;

namespace ringsync {
namespace {

constexpr size_t kFewKept = 16;  // not worth a sweep

}  // namespace

BoundEngine::BoundEngine(std::shared_ptr<Store> store, int rank, int size,
                         const std::string& transport, std::string algorithm, double caller_spin_us,
                         double engine_spin_us, double timeout_s, double call_timeout_s)
    : store_(std::move(store)), call_timeout_s_(call_timeout_s), sweep_at_(kFewKept) {
  const GilRelease release;
  const Deadline deadline = deadline_after(timeout_s);
  engine_ = std::make_unique<Engine>(
      EngineConfig{std::move(algorithm), caller_spin_us, engine_spin_us},
      make_transport(transport, *store_, rank, size, deadline), rank, size, deadline);
}

BoundEngine::~BoundEngine() {
  engine_->shutdown("its engine was released");
  if (!engine_->is_exposed()) return;
  never_freed_.splice(never_freed_.end(), kept_);
  // Nobody can tell when that memory will have seen its last writer.
  static_cast<void>(std::make_unique<std::list<Kept>>(std::move(never_freed_)).release());
}

void BoundEngine::keep(std::list<Kept> kept) {
  // Ends last: letting go of an owner may run Python, which may come back here.
  std::list<Kept> done;
  while (!kept_.empty() && kept_.front().handle->is_done()) {
    done.splice(done.end(), kept_, kept_.begin());
  }
  if (kept_.size() >= sweep_at_) {
    // One that is not done for long, a receive for instance, must not keep all behind it.
    for (auto at = kept_.begin(); at != kept_.end();) {
      const auto next = std::next(at);
      if (at->handle->is_done()) done.splice(done.end(), kept_, at);
      at = next;
    }
    sweep_at_ = std::max(kFewKept, 2 * kept_.size());
  }
  const bool is_over = kept.front().owner.is_none() || kept.front().handle->is_done();
  std::list<Kept>& place = is_over ? done : kept_;
  place.splice(place.end(), kept);
  // Looked at last: what fails because of it fails later.
  if (!engine_->is_exposed()) return;
  for (auto at = done.begin(); at != done.end();) {
    const auto next = std::next(at);
    // No peer has heard of what was never announced, and a barrier has nothing to write to.
    if (!at->owner.is_none() && at->handle->times().started_ns != 0)
      never_freed_.splice(never_freed_.end(), done, at);
    at = next;
  }
}

}  // namespace ringsync
