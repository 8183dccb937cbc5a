#pragma once

// Finds NCCL and joins a communicator beside the work, which both take their time: on threads of
// their own, and nobody waits for them. How ranks tell one another is for those who use it.

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "device/device.h"
#include "device/nccl_communicator.h"

namespace ringsync {

/// Which NCCL a rank takes, as NcclLibrary says.
struct NcclChoice {
  bool is_wanted = false;
  std::filesystem::path chosen;
  std::vector<std::filesystem::path> candidates;
};

/// One thread at a time.
class NcclJoin {
 public:
  /// What a rank has found: the version of its NCCL, 0 where it has none, and the id that it would
  /// have others join, if it is the first.
  struct Found {
    int version = 0;
    nccl::UniqueId id{};
  };

  /// Begins to look for it; `tell` is called once, by another thread.
  NcclJoin(std::shared_ptr<Device> device, NcclChoice choice, const NcclCommunicator::Place& place,
           const std::function<void(const Found&)>& tell);
  NcclJoin(const NcclJoin&) = delete;
  NcclJoin& operator=(const NcclJoin&) = delete;
  /// Waits for no other rank.
  ~NcclJoin();

  /// Begins to join: once, when all ranks have found the same version.
  void join(const nccl::UniqueId& id);
  /// Once all have joined; else null.
  NcclCommunicator* communicator() const;
  /// Why there will be none, once: after a failure that somebody should know of.
  std::optional<std::string> take_failure();

 private:
  enum class State : uint8_t { kOnTheWay, kReady, kFailed };

  void look(const std::function<void(const Found&)>& tell);
  void come_together(const nccl::UniqueId& id);
  void settle(Deadline deadline, const std::function<bool()>& is_done) const;
  void fail(std::string why);
  void run(std::function<void()> work);

  const std::shared_ptr<Device> device_;
  const NcclChoice choice_;
  const NcclCommunicator::Place place_;
  const pid_t pid_;  // of the process that has the thread
  std::optional<NcclLibrary> library_;
  std::mutex mutex_;
  std::unique_ptr<NcclCommunicator> communicator_;  // made under mutex_
  std::string failure_;                             // written before state_
  std::atomic<State> state_{State::kOnTheWay};
  std::atomic<bool> is_left_{false};  // set under mutex_
  std::thread thread_;
};

}  // namespace ringsync
