#pragma once

// An engine as Python holds it, with what must not be freed while it works.

#include <nanobind/nanobind.h>

#include <list>
#include <memory>
#include <string>

#include "engine/engine.h"
#include "rendezvous/store.h"

namespace ringsync {

/// An engine and the store it met through, which its transport goes on using. With the interpreter
/// held.
class BoundEngine {
 public:
  BoundEngine(std::shared_ptr<Store> store, int rank, int size, const std::string& transport,
              std::string algorithm, double caller_spin_us, double engine_spin_us, double timeout_s,
              double call_timeout_s);
  BoundEngine(const BoundEngine&) = delete;
  BoundEngine& operator=(const BoundEngine&) = delete;
  ~BoundEngine();

  Engine& get() { return *engine_; }

  /// Seconds that a call may take unless it says otherwise.
  double call_timeout_s() const { return call_timeout_s_; }

  /// What an operation works on, and the operation.
  struct Kept {
    nanobind::object owner;
    std::shared_ptr<Handle> handle;
  };

  /// Holds the owner of `kept`, a list of one that was made before the submission, until its
  /// operation is done, whatever becomes of the caller's references. It is done in one stroke with
  /// the submission, because Ctrl-C may strike between two lines of Python. Once the engine is
  /// exposed, what a peer might still write to is never let go.
  void keep(std::list<Kept> kept);

 private:
  std::shared_ptr<Store> store_;
  const double call_timeout_s_;
  std::list<Kept> kept_;         // outlives the engine
  std::list<Kept> never_freed_;  // once the engine is exposed
  size_t sweep_at_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace ringsync
