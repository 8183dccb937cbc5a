#include "engine/nccl_peers.h"

#include <utility>

namespace ringsync {
NcclPeers::NcclPeers(const std::shared_ptr<Device>& device, const NcclChoice& choice,
                     const GroupView& group, size_t room_bytes, std::shared_ptr<NcclWord> own,
                     std::vector<const NcclWord*> words)
    : place_{group.rank, group.size, choice.max_ctas, choice.who},
      runs_(std::make_shared<NcclRuns>(device, place_)),
      thread_(device, choice, place_, room_bytes,
              std::make_shared<NcclWords>(std::move(own), std::move(words), group.ranks)) {}

std::shared_ptr<const StreamWork> NcclPeers::run(const Problem& problem, const DevicePiece& piece,
                                                 DeviceStart start) {
  return thread_.post(
      [runs = runs_, problem, piece, start = std::move(start)](const NcclStage& stage) {
        return runs->run(problem, piece, start, stage);
      });
}

std::shared_ptr<const StreamWork> NcclPeers::run(DeviceBucket bucket, DeviceStart start) {
  return thread_.post([runs = runs_, bucket = std::move(bucket), start = std::move(start)](
                          const NcclStage& stage) { return runs->run(bucket, start, stage); });
}

}  // namespace ringsync
