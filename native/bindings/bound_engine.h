#pragma once

// An engine as Python holds it, with what it needs while it works.

#include <memory>
#include <string>

#include "bindings/keeper.h"
#include "engine/engine.h"
#include "rendezvous/store.h"

namespace ringsync {

/// An engine and the store it met through, which peers may still be asking. With the interpreter
/// held.
class BoundEngine {
 public:
  BoundEngine(std::shared_ptr<Store> store, int rank, int size, const std::string& transport,
              EngineConfig config, double timeout_s, double call_timeout_s);
  BoundEngine(const BoundEngine&) = delete;
  BoundEngine& operator=(const BoundEngine&) = delete;
  ~BoundEngine();

  Engine& get() const { return *engine_; }
  const std::shared_ptr<Engine>& share() const { return engine_; }

  /// Seconds that a call may take unless it says otherwise.
  double call_timeout_s() const { return call_timeout_s_; }

  const std::shared_ptr<Keeper>& keeper() const { return keeper_; }

 private:
  std::shared_ptr<Store> store_;
  const double call_timeout_s_;
  std::shared_ptr<Engine> engine_;
  std::shared_ptr<Keeper> keeper_;
};

}  // namespace ringsync
