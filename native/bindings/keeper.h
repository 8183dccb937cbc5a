#pragma once

// What operations in flight work on, held for them.

#include <nanobind/nanobind.h>

#include <list>
#include <memory>
#include <utility>

#include "engine/engine.h"

namespace ringsync {

/// With the interpreter held.
class Keeper {
 public:
  explicit Keeper(std::shared_ptr<Engine> engine) : engine_(std::move(engine)) {}
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;
  /// The engine has shut down.
  ~Keeper();

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
  /// Lets go of what is done.
  void sweep();
  /// Waits, without the interpreter, for what devices do by themselves; throws the first error.
  /// False where the deadline came first.
  bool settle(Deadline deadline) const;

 private:
  void let_go(std::list<Kept> done);

  static constexpr size_t kFewKept = 16;  // not worth a look at each

  const std::shared_ptr<Engine> engine_;
  std::list<Kept> kept_;
  std::list<Kept> never_freed_;  // once the engine is exposed
  size_t look_at_ = kFewKept;
};

}  // namespace ringsync
