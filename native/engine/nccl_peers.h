#pragma once

// A group's collectives by NCCL: once its ranks have told one another what they have, and have
// joined, they are posted to a thread that nobody waits for. Where arrays are worked on is decided
// by those who ask.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device/nccl_thread.h"
#include "engine/device_call.h"
#include "engine/nccl_runs.h"
#include "engine/nccl_words.h"
#include "engine/operation.h"

namespace ringsync {

/// One thread at a time.
class NcclPeers {
 public:
  /// Begins to look for NCCL, and to join if all ranks do, whose `words` NcclWords describes: `own`
  /// names the rank's device. A bucket has `room_bytes` at most.
  NcclPeers(const std::shared_ptr<Device>& device, const NcclChoice& choice, const GroupView& group,
            size_t room_bytes, std::shared_ptr<NcclWord> own, std::vector<const NcclWord*> words);

  /// All have joined.
  bool is_ready() const { return thread_.is_ready(); }
  /// Why that will not be, once; nothing where nobody has to know.
  std::optional<std::string> take_failure() { return thread_.take_failure(); }

  // Once ready. Returns at once; memory stays valid until the work is done. Nothing of it goes on
  // before it may start.

  /// An array of any length if it is cut by others.
  std::shared_ptr<const StreamWork> run(const Problem& problem, const DevicePiece& piece,
                                        DeviceStart start);
  std::shared_ptr<const StreamWork> run(DeviceBucket bucket, DeviceStart start);

  /// Why any of it has failed; else null. To be asked once some is done, of all that is by then.
  std::exception_ptr failure() const { return thread_.failure(); }

  /// The others are not to be waited for any more.
  void leave() noexcept { thread_.leave(); }

 private:
  const NcclCommunicator::Place place_;
  const std::shared_ptr<const NcclRuns> runs_;
  NcclThread thread_;
};

}  // namespace ringsync
