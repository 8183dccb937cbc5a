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

/// Why ranks that have found these do not join; empty: nobody has to know. None: they do.
std::optional<std::string> lack_of(std::span<const NcclWord* const> words) {
  for (size_t i = 0; i < words.size(); ++i) {
    if (!words[i]->found.has_failed) continue;
    const std::string rank = "rank " + std::to_string(i);
    return i == 0 ? "" : "it fails on " + rank + " of the group. Read what " + rank + " says.";
  }
  const int version = words[0]->found.version;
  for (size_t i = 0; i < words.size(); ++i) {
    const int other = words[i]->found.version;
    if (other == version) continue;
    const auto name = [](int one) {
      return one == 0 ? "no NCCL" : "NCCL " + nccl_version_text(one);
    };
    return "rank " + std::to_string(i) + " of the group has " + name(other) + ", rank 0 has " +
           name(version) + ". Install one version for all.";
  }
  if (version == 0) return "";
  const auto has_adopted = [&](size_t i) { return words[i]->found.has_adopted; };
  for (size_t i = 0; i < words.size(); ++i) {
    if (has_adopted(i) == has_adopted(0)) continue;
    return "rank " + std::to_string(i) + (has_adopted(i) ? " has" : " has not") +
           " adopted a communicator, rank 0 has" + (has_adopted(0) ? "" : " not") +
           ". Adopt one on all ranks or on none.";
  }
  if (has_adopted(0)) return std::nullopt;
  // It would refuse, and ranks that share a device know that they do.
  if (version < kSharesDevices && share_devices(words)) return "";
  for (size_t i = 0; i < words.size(); ++i) {
    if (!words[i]->found.is_full) continue;
    return "rank " + std::to_string(i) + " of the group is in " +
           std::to_string(kMostCommunicators) +
           " other groups that have NCCL, and its device has no room for one more. Close a group "
           "before another one is made.";
  }
  return std::nullopt;
}

}  // namespace

NcclPeers::NcclPeers(const std::shared_ptr<Device>& device, const NcclChoice& choice,
                     const GroupView& group, size_t room_bytes,
                     const std::shared_ptr<NcclWord>& own)
    : place_{.rank = group.rank, .size = group.size, .max_ctas = choice.max_ctas},
      runs_(std::make_shared<NcclRuns>(device, place_)),
      thread_(device, choice, place_, room_bytes,
              {[own](const NcclFound& found) {
                 own->found = found;
                 own->is_told.store(1, std::memory_order_release);
               },
               [own](const std::optional<nccl::UniqueId>& id) {
                 own->id = id;
                 own->is_id_told.store(1, std::memory_order_release);
               }}) {}

void NcclPeers::look_at(std::span<const NcclWord* const> words) {
  if (is_decided_) return;
  const auto has_told = [](const NcclWord* word) {
    return word->is_told.load(std::memory_order_acquire) != 0;
  };
  if (!std::ranges::all_of(words, has_told)) return;
  std::optional<std::string> lack = lack_of(words);
  if (!lack) {
    join(*words[0]);
    return;
  }
  is_decided_ = true;
  thread_.leave();
  if (place_.rank == 0 && !lack->empty()) failure_ = std::move(lack);
}

/// Once the first rank has told how; that one, and who has adopted a communicator, knows.
void NcclPeers::join(const NcclWord& first) {
  const bool knows_how = place_.rank == 0 || first.found.has_adopted;
  if (!knows_how && first.is_id_told.load(std::memory_order_acquire) == 0) return;
  is_decided_ = true;
  if (knows_how) {
    thread_.join(std::nullopt);
  } else if (first.id) {
    thread_.join(first.id);
  } else {
    thread_.leave();
  }
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
