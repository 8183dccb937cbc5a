#pragma once

// Handles as Python holds them: the completion of a call, and what it leaves its result in.

#include <nanobind/nanobind.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings/bound_engine.h"
#include "engine/handle.h"

namespace ringsync {

/// With the interpreter held.
class BoundHandle {
 public:
  /// `array` and `label` are the caller's: what the result is left in, and the name or, without
  /// one, the public function's. `engine` completes it, and may end before it.
  BoundHandle(std::shared_ptr<Handle> handle, nanobind::object array, nanobind::object label,
              const BoundEngine& engine);

  bool is_done() const { return handle_->is_done(); }
  /// True once done; false when `timeout_s` passed first. Throws the call's error, if it failed,
  /// and NotInitializedError in a forked child, where nobody would complete it. Ctrl-C raises.
  bool wait(std::optional<double> timeout_s) const;
  /// Likewise, until all that is left to do is given to devices; what `stream` is given from then
  /// on comes behind it.
  bool wait_on(uintptr_t stream, std::optional<double> timeout_s) const;
  /// The caller's array, or a new one where the call makes it. Only once done, or waited
  /// for.
  nanobind::object result() const;
  /// Of an alltoall: how many rows came from each rank; none where it failed. Throws ConfigError
  /// before it is done.
  std::vector<uint64_t> rows_from() const;
  const Times& times() const { return handle_->times(); }
  /// In messages, in which calls without a name have a number.
  std::string title() const;

 private:
  template <typename Until, typename Sleep>
  bool wait_until(const Until& until, const Sleep& sleep, Deadline deadline) const;
  bool wait_done(Deadline deadline) const;
  bool raise_if_failed() const;

  std::shared_ptr<Handle> handle_;
  nanobind::object array_;
  nanobind::object label_;
  std::weak_ptr<Keeper> keeper_;
  pid_t pid_;  // of the engine's process
};

/// A handle of `type`, a subclass made in Python, to be filled. Throws ConfigError for another
/// type.
nanobind::object allocate_handle(nanobind::handle type);
void fill_handle(nanobind::handle empty, BoundHandle&& handle);

}  // namespace ringsync
