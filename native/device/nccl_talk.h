#pragma once

// What the threads on which a group's ranks find and join NCCL tell one another. By what way is for
// those who use them.

#include <optional>
#include <string>

#include "base/clock.h"
#include "device/nccl_abi.h"
#include "device/nccl_door.h"

namespace ringsync {

/// What a rank has found.
struct NcclFound {
  /// Of its NCCL; 0 where it has none.
  int version = 0;
  /// It has one, or should have, and cannot use it; it tells why itself.
  bool has_failed = false;
  /// Its device has no room for one more communicator.
  bool is_full = false;
  /// It brings a communicator along.
  bool has_adopted = false;
};

/// One rank's end, used by its thread.
class NcclTalk {
 public:
  NcclTalk() = default;
  NcclTalk(const NcclTalk&) = delete;
  NcclTalk& operator=(const NcclTalk&) = delete;
  virtual ~NcclTalk() = default;

  /// What this rank has found; once.
  virtual void tell(const NcclFound& found) = 0;
  /// By the first rank, once all are known to join: by what; none: that cannot be made.
  virtual void tell_id(const std::optional<nccl::UniqueId>& id) = 0;

  // Both wait until the deadline, or until the door is closed.

  /// False where not all have told what they have found.
  virtual bool await_found(Deadline deadline, const NcclDoor& door) const = 0;
  /// What the first rank has told; none where it has not.
  virtual std::optional<nccl::UniqueId> await_id(Deadline deadline, const NcclDoor& door) const = 0;

  /// Once all have told: why they do not join, empty where this rank need not say it; none: they
  /// do.
  virtual std::optional<std::string> lack() const = 0;
};

}  // namespace ringsync
