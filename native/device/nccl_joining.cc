// From looking for NCCL until all ranks have come together. What is called then is
// nccl_service.cc's matter.

#include <thread>

#include "base/error.h"
#include "device/nccl_service.h"

namespace ringsync {
namespace {

/// For all ranks to come, and for the connections of NCCL's first call: seconds where there are
/// many. Meanwhile work goes another way.
constexpr auto kComeTogether = std::chrono::seconds(120);
/// NCCL has nothing to wait on.
constexpr auto kBetweenVisits = std::chrono::milliseconds(1);
/// For a group that is just being closed to give back its room on the device.
constexpr auto kGivenBack = std::chrono::seconds(1);

}  // namespace

void NcclService::look(NcclTalk& talk) {
  NcclFound found;
  found.has_adopted = choice_.adopted != nullptr;
  try {
    device_->adopt_thread();
    library_.emplace(choice_.chosen, choice_.candidates);
    found.version = library_->version();
    found.is_full = choice_.max_ctas > 0 && !find_room() && !door_.is_closed();
  } catch (const NoNccl&) {
    // Whether that is to be told depends on what the others have.
  } catch (const std::exception& error) {
    found.has_failed = true;
    note_failure(error.what());
  }
  talk.tell(found);
}

/// On the device, for its kernels.
bool NcclService::find_room() {
  const Deadline deadline = Clock::now() + kGivenBack;
  while (!(kernel_room_ = device_->kernel_room().take())) {
    if (door_.is_closed() || Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kBetweenVisits);
  }
  return true;
}

/// By what to join; none where ranks do not. One that has been adopted is joined already.
std::optional<nccl::UniqueId> NcclService::agree(NcclTalk& talk) {
  std::optional<nccl::UniqueId> id;
  try {
    id = find_id(talk);
  } catch (const std::exception& error) {
    note_failure(error.what());
  }
  if (place_.rank == 0) talk.tell_id(id);  // that there is none as well: others wait for it
  return id;
}

/// NCCL waits for an id's ranks on a thread of its own, so none is made before all are known to
/// come.
std::optional<nccl::UniqueId> NcclService::find_id(NcclTalk& talk) {
  const Deadline deadline = Clock::now() + kComeTogether;
  if (!talk.await_found(deadline, door_)) fail_to_come();
  if (auto lack = talk.lack()) {
    note_failure(std::move(*lack));
    return std::nullopt;
  }
  if (choice_.adopted != nullptr) return nccl::UniqueId{};
  if (place_.rank == 0) return NcclCommunicator::make_id(*library_);
  const auto id = talk.await_id(deadline, door_);
  if (!id) note_failure("");  // the first rank says why
  return id;
}

void NcclService::come_together(const nccl::UniqueId& id) {
  try {
    communicator_ = choice_.adopted != nullptr
                        ? std::make_unique<NcclCommunicator>(*library_, choice_.adopted, place_)
                        : std::make_unique<NcclCommunicator>(*library_, id, place_);
    stream_ = device_->make_stream();
    const Deadline deadline = Clock::now() + kComeTogether;
    settle(deadline, [this] { return check(); });
    const NcclCommunicator::Turn turn{stream_.get(), deadline, &door_};
    make_room(turn);
    // Of somebody else's nothing is asked that all ranks' callers have not asked for.
    if (choice_.adopted == nullptr) connect(turn);
    check();
    state_ = State::kReady;
  } catch (const std::exception& error) {
    if (communicator_) communicator_->abort();
    note_failure(error.what());
  }
}

/// NCCL connects its ranks at their first call.
void NcclService::connect(const NcclCommunicator::Turn& turn) {
  const MutableByteSpan one{memory_.get(), size_bytes(Dtype::kFloat32)};
  communicator_->allreduce(one, one, Dtype::kFloat32, ReduceOp::kMax, turn);
  const std::shared_ptr<StreamWork> first = device_->expect();
  last_ = first;
  device_->watch(first, stream_.get(), nullptr);
  settle(turn.deadline, [&] { return first->is_done(); });
}

/// In a window, unless that would stay in somebody else's communicator.
void NcclService::make_room(const NcclCommunicator::Turn& turn) {
  const bool has_window = library_->has_windows() && choice_.adopted == nullptr;
  memory_ = has_window ? library_->allocate(room_bytes_) : device_->lend_shareable(room_bytes_);
  const MutableByteSpan bytes{memory_.get(), room_bytes_};
  if (has_window) communicator_->share(bytes, turn);
  room_ = std::make_unique<FusionRoom>(*device_, bytes, stream_.get());
}

/// Others have not come in time, or nobody wants it any more.
void NcclService::fail_to_come() const {
  if (door_.is_closed()) throw Error("[nccl] the group was closed.");
  throw Error("[nccl] the ranks have not come together for " +
              std::to_string(std::chrono::seconds(kComeTogether).count()) +
              " s. Set NCCL_DEBUG=INFO to see more.");
}

/// Throws Error where others do not come in time, or nobody wants it any more.
void NcclService::settle(Deadline deadline, const std::function<bool()>& is_done) const {
  while (!is_done()) {
    if (door_.is_closed() || Clock::now() >= deadline) fail_to_come();
    std::this_thread::sleep_for(kBetweenVisits);
  }
}

}  // namespace ringsync
