#include "engine/nccl_words.h"

#include <algorithm>

#include "base/futex.h"
#include "device/kernel_room.h"
#include "device/nccl_library.h"

namespace ringsync {
namespace {

/// Ranks may share a device, where a variable of NCCL's says so.
constexpr int kSharesDevices = nccl::version_of(2, 30, 0);

/// Who closes the door wakes nobody here, and waits so much longer.
constexpr auto kBetweenDoors = std::chrono::milliseconds(10);

void say(std::atomic<uint32_t>& word) {
  word.store(1, std::memory_order_release);
  futex_wake_all(word, Sharing::kProcesses);
}

/// False where that comes later than the deadline, or after the door is closed.
bool await(const std::atomic<uint32_t>& word, Deadline deadline, const NcclDoor& door) {
  for (;;) {
    if (door.is_closed()) return false;
    if (word.load(std::memory_order_acquire) != 0) return true;
    const Deadline now = Clock::now();
    if (now >= deadline) return false;
    futex_wait(word, 0, std::min(deadline, now + kBetweenDoors), Sharing::kProcesses);
  }
}

}  // namespace

void NcclWords::tell(const NcclFound& found) {
  own_->found = found;
  say(own_->is_told);
}

void NcclWords::tell_id(const std::optional<nccl::UniqueId>& id) {
  own_->id = id;
  say(own_->is_id_told);
}

bool NcclWords::await_found(Deadline deadline, const NcclDoor& door) const {
  return std::ranges::all_of(
      words_, [&](const NcclWord* word) { return await(word->is_told, deadline, door); });
}

std::optional<nccl::UniqueId> NcclWords::await_id(Deadline deadline, const NcclDoor& door) const {
  return await(words_[0]->is_id_told, deadline, door) ? words_[0]->id : std::nullopt;
}

/// The first rank says it for all.
std::optional<std::string> NcclWords::lack() const {
  std::optional<std::string> found = difference();
  if (!found) found = fault();
  if (found && own_.get() != words_[0]) found->clear();
  return found;
}

std::optional<std::string> NcclWords::difference() const {
  const NcclFound& first = words_[0]->found;
  for (size_t i = 0; i < words_.size(); ++i) {
    if (!words_[i]->found.has_failed) continue;
    return i == 0 ? "" : "it fails on " + name_of(i) + ". Read what " + name_of(i) + " says.";
  }
  for (size_t i = 0; i < words_.size(); ++i) {
    const NcclFound& other = words_[i]->found;
    if (other.version != first.version) {
      const auto text = [](int version) {
        return version == 0 ? "no NCCL" : "NCCL " + nccl_version_text(version);
      };
      return name_of(i) + " has " + text(other.version) + ", " + name_of(0) + " has " +
             text(first.version) + ". Install one version for all.";
    }
    if (first.version != 0 && other.has_adopted != first.has_adopted) {
      return name_of(i) + (other.has_adopted ? " has" : " has not") + " adopted a communicator, " +
             name_of(0) + " has" + (first.has_adopted ? "" : " not") +
             ". Adopt one on all ranks or on none.";
    }
  }
  return std::nullopt;
}

/// What keeps ranks that have found the same.
std::optional<std::string> NcclWords::fault() const {
  const NcclFound& first = words_[0]->found;
  if (first.version == 0) return "";
  if (first.has_adopted) return std::nullopt;
  // It would refuse, and ranks that share a device know that they do.
  if (first.version < kSharesDevices && share_devices()) return "";
  for (size_t i = 0; i < words_.size(); ++i) {
    if (!words_[i]->found.is_full) continue;
    return name_of(i) + " is in " + std::to_string(kMostCommunicators) +
           " other groups that have NCCL, and its device has no room for one more. Close a group "
           "before another one is made.";
  }
  return std::nullopt;
}

bool NcclWords::share_devices() const {
  for (size_t i = 0; i < words_.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {
      if (words_[i]->device == words_[k]->device) return true;
    }
  }
  return false;
}

}  // namespace ringsync
