#pragma once

// A communicator of NCCL's that somebody else has made, for a group to use in place of one of its
// own: whether it is one that can be, and which it is. How it is used is seen elsewhere.

#include <filesystem>
#include <memory>
#include <mutex>

#include "device/nccl_service.h"

namespace ringsync {

/// The device of what is to be adopted. `maker` is a library that the process has loaded, by which
/// it was made. Throws ConfigError where that calls another NCCL than `choice` finds, or the
/// communicator is not that of rank `rank` of `size`; and Error.
int device_of(nccl::Comm* communicator, const std::filesystem::path& maker,
              const NcclChoice& choice, int rank, int size);

/// A group's. Any thread.
class NcclAdoption {
 public:
  /// Throws ConfigError where one has been adopted, or it is too late.
  void adopt(nccl::Comm* communicator);
  /// What has been adopted; null: nothing.
  nccl::Comm* adopted() const;
  /// Likewise, once and for all: from now on it is too late.
  nccl::Comm* close();
  /// By which NCCL is called for the group.
  const std::shared_ptr<NcclDoor>& door() const { return door_; }
  /// The group is closed: what has been adopted may be ended by its owner.
  void leave() noexcept;

 private:
  const std::shared_ptr<NcclDoor> door_ = std::make_shared<NcclDoor>();
  mutable std::mutex mutex_;
  nccl::Comm* adopted_ = nullptr;  // guarded by mutex_, as the next
  bool is_closed_ = false;
};

}  // namespace ringsync
