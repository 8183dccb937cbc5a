#include "engine/nccl_adoption.h"

#include <string>

#include "base/error.h"
#include "device/nccl_communicator.h"
#include "engine/engine.h"

namespace ringsync {
namespace {

std::string place_of(int rank, int size) {
  return "rank " + std::to_string(rank) + " of " + std::to_string(size);
}

}  // namespace

int device_of(nccl::Comm* communicator, const std::filesystem::path& maker,
              const NcclChoice& choice, int rank, int size) {
  if (!choice.is_wanted) {
    throw ConfigError(
        "[adopt_nccl] this rank goes without NCCL, because of RINGSYNC_NCCL=off or on a simulated "
        "device. Adopt no communicator there.");
  }
  const NcclLibrary library(choice.chosen, choice.candidates);
  if (!library.serves(maker)) {
    throw ConfigError("[adopt_nccl] the communicator was made through " + maker.string() +
                      ", which calls another copy of NCCL than " + library.path().string() +
                      ", the one that ringsync uses; a communicator of one crashes the other. "
                      "Import cupy.cuda.nccl before anything else that loads NCCL.");
  }
  const NcclStanding standing = standing_of(library, communicator);
  if (standing.rank != rank || standing.size != size) {
    throw ConfigError("[adopt_nccl] the communicator is that of " +
                      place_of(standing.rank, standing.size) + ", and this is " +
                      place_of(rank, size) +
                      " of the group. Make it with the group's own rank() and size().");
  }
  return standing.device;
}

void Engine::adopt_nccl(size_t number, nccl::Comm* communicator,
                        const std::filesystem::path& maker) {
  const std::shared_ptr<Group> group = queue_.group(number);
  const int size = static_cast<int>(group->ranks().size());
  const int device = device_of(communicator, maker, config_.nccl, group->rank(), size);
  const std::scoped_lock lock(adopting_);  // by two groups at once
  for (const auto& other : queue_.groups(nullptr)) {
    if (other != group && other->nccl_adoption().adopted() == communicator) {
      throw ConfigError("[adopt_nccl] " + other->name() +
                        " has adopted the communicator. Make one for each group.");
    }
  }
  serving_.stay_on(device);
  group->nccl_adoption().adopt(communicator);
}

void NcclAdoption::adopt(nccl::Comm* communicator) {
  const std::scoped_lock lock(mutex_);
  if (adopted_ != nullptr) {
    throw ConfigError("[adopt_nccl] the group has adopted a communicator before. Adopt one only.");
  }
  if (is_closed_) {
    throw ConfigError(
        "[adopt_nccl] the group has had a large array on a device before. Adopt a communicator "
        "right after init(), or after new_group().");
  }
  adopted_ = communicator;
}

nccl::Comm* NcclAdoption::adopted() const {
  const std::scoped_lock lock(mutex_);
  return adopted_;
}

void NcclAdoption::leave() noexcept {
  door_->close();
  if (adopted() != nullptr) door_->shut();
}

nccl::Comm* NcclAdoption::close() {
  const std::scoped_lock lock(mutex_);
  is_closed_ = true;
  return adopted_;
}

}  // namespace ringsync
