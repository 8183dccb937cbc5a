#include "engine/nccl_peers.h"

#include <algorithm>
#include <utility>

namespace ringsync {
namespace {

/// Ranks may share a device, where a variable of NCCL's says so.
constexpr int kSharesDevices = nccl::version_of(2, 30, 0);

bool share_devices(std::span<const NcclWord* const> words) {
  for (size_t i = 0; i < words.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {
      if (words[i]->device == words[k]->device) return true;
    }
  }
  return false;
}

}  // namespace

NcclPeers::NcclPeers(const std::shared_ptr<Device>& device, const NcclChoice& choice,
                     const GroupView& group, size_t room_bytes, std::shared_ptr<NcclWord> own)
    : place_{.rank = group.rank, .size = group.size},
      runs_(std::make_shared<NcclRuns>(device, place_)),
      thread_(device, choice, place_, room_bytes, [own = std::move(own)](const NcclFound& found) {
        own->found = found;
        own->is_told.store(1, std::memory_order_release);
      }) {}

void NcclPeers::look_at(std::span<const NcclWord* const> words) {
  if (is_decided_) return;
  const auto has_told = [](const NcclWord* word) {
    return word->is_told.load(std::memory_order_acquire) != 0;
  };
  if (!std::ranges::all_of(words, has_told)) return;
  is_decided_ = true;
  const int version = words[0]->found.version;
  for (size_t i = 0; i < words.size(); ++i) {
    const int other = words[i]->found.version;
    if (other == version) continue;
    const auto name = [](int one) {
      return one == 0 ? "no NCCL" : "NCCL " + nccl_version_text(one);
    };
    if (place_.rank == 0) {
      failure_ = "rank " + std::to_string(i) + " of the group has " + name(other) +
                 ", rank 0 has " + name(version) + ". Install one version for all.";
    }
    return;
  }
  if (version == 0) return;
  // It would refuse, and ranks that share a device know that they do.
  if (version < kSharesDevices && share_devices(words)) return;
  thread_.join(words[0]->found.id);
}

std::optional<std::string> NcclPeers::take_failure() {
  if (failure_) return std::exchange(failure_, std::nullopt);
  return thread_.take_failure();
}

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
