#include "bindings/bound_engine.h"

#include <utility>

#include "bindings/bindings.h"
#include "transport/registry.h"

namespace ringsync {

BoundEngine::BoundEngine(std::shared_ptr<Store> store, int rank, int size,
                         const std::string& transport, EngineConfig config, double timeout_s,
                         double call_timeout_s)
    : store_(std::move(store)), call_timeout_s_(call_timeout_s) {
  const GilRelease release;
  const Deadline deadline = deadline_after(timeout_s);
  engine_ = std::make_unique<Engine>(std::move(config),
                                     make_transport(transport, *store_, rank, size, deadline), rank,
                                     size, deadline);
  keeper_ = std::make_shared<Keeper>(engine_);
}

BoundEngine::~BoundEngine() { engine_->shutdown("its engine was released"); }

}  // namespace ringsync
