#pragma once

// How many communicators' kernels a device has room for at once. Such kernels wait for those of
// other ranks, and hold their place meanwhile: who finds none would wait for ever.

#include <atomic>
#include <memory>

namespace ringsync {

/// Beside the first communicator, which takes as many blocks as it likes: NCCL's own choice is at
/// most 32, and with these it comes to 96. An A100 has 108 multiprocessors, an H100 132.
inline constexpr int kMostCommunicators = 4;
inline constexpr int kMostBlocks = 16;

/// Any thread. Outlives what it gives.
class KernelRoom {
 public:
  /// For one more communicator of kMostBlocks, until the last pointer has gone; null where there is
  /// none.
  std::shared_ptr<const void> take() {
    if (taken_.fetch_add(1) < kMostCommunicators) {
      return {this, [](KernelRoom* room) { --room->taken_; }};
    }
    --taken_;
    return nullptr;
  }

 private:
  std::atomic<int> taken_{0};
};

}  // namespace ringsync
