#pragma once

// How a group's ranks tell one another what NCCL each has found: in memory that all of them see.
// Whether they join by that is decided here, by all alike.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device/nccl_talk.h"

namespace ringsync {

/// What one rank has found, and what the first one would have the others join by.
struct NcclWord {
  std::atomic<uint32_t> is_told{0};
  // Both written before that.
  NcclFound found;
  std::array<uint8_t, 16> device{};  // the rank's
  std::atomic<uint32_t> is_id_told{0};
  // Likewise; none: there is none.
  std::optional<nccl::UniqueId> id;
};

class NcclWords final : public NcclTalk {
 public:
  /// All ranks' words, by rank, of which this one's is `own`; those are seen at least until the
  /// door is closed. `ranks` are the same ones by their numbers in the world.
  NcclWords(std::shared_ptr<NcclWord> own, std::vector<const NcclWord*> words,
            std::vector<int> ranks)
      : own_(std::move(own)), words_(std::move(words)), ranks_(std::move(ranks)) {}

  void tell(const NcclFound& found) override;
  void tell_id(const std::optional<nccl::UniqueId>& id) override;
  bool await_found(Deadline deadline, const NcclDoor& door) const override;
  std::optional<nccl::UniqueId> await_id(Deadline deadline, const NcclDoor& door) const override;
  std::optional<std::string> lack() const override;

 private:
  std::optional<std::string> difference() const;
  std::optional<std::string> fault() const;
  bool share_devices() const;
  std::string name_of(size_t rank) const { return "rank " + std::to_string(ranks_[rank]); }

  const std::shared_ptr<NcclWord> own_;
  const std::vector<const NcclWord*> words_;
  const std::vector<int> ranks_;
};

}  // namespace ringsync
