#include "engine/serving.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"

namespace ringsync {
namespace {

constexpr const char* kOneDevice = ". Use one device for each rank, that of its local rank.";

}  // namespace

Serving::Serving(std::filesystem::path plugin, Transport& transport, int rank,
                 std::shared_ptr<KeptMemory> kept)
    : plugin_(std::move(plugin)), transport_(transport), rank_(rank), kept_(std::move(kept)) {}

/// The first one that an array lies on is this rank's, unless another has been named. Null, and
/// why, where there is no way to it.
std::shared_ptr<Device> Serving::device_of(const Request& request, std::string& lack) {
  const std::scoped_lock lock(mutex_);
  if (!has_looked_ && !plugin_.empty()) {
    has_looked_ = true;
    try {
      device_ = std::make_shared<Device>(
          plugin_, request.data.data(), rank_,
          [this](size_t bytes) { return transport_.allocate(bytes); },
          [this] { transport_.waiter().ring(); }, kept_);
    } catch (const Error& error) {
      lack_ = error.what();
    }
    if (device_ && ordinal_.value_or(device_->ordinal()) != device_->ordinal()) {
      const int other = device_->ordinal();
      device_.reset();
      has_looked_ = false;
      refuse(request, other, *ordinal_);
    }
    if (device_) ordinal_ = device_->ordinal();
  }
  lack = lack_;
  return device_;
}

void Serving::refuse(const Request& request, int ordinal, int own) const {
  throw ConfigError("[" + call_of(request) + "] the array lies on " +
                    (ordinal == kRsNowhere ? "no device" : "device " + std::to_string(ordinal)) +
                    ", and rank " + std::to_string(rank_) + " works on device " +
                    std::to_string(own) + kOneDevice);
}

void Serving::serve(Request& request) {
  if (!request.place) return;
  Place& place = *request.place;
  if (request.device == DeviceKind::kCuda) place.device = device_of(request, place.lack);
  if (!place.device) {
    request.data = {};
    request.dtype = Dtype::kUint8;
    request.shape = {0};
    std::ranges::fill(request.splits, 0);
    return;
  }
  if (request.data.empty()) return;
  const int ordinal = place.device->place_of(request.data.data());
  if (ordinal != place.device->ordinal()) refuse(request, ordinal, place.device->ordinal());
  place.ready = place.device->record(place.stream);
}

void Serving::stay_on(int ordinal) {
  const std::scoped_lock lock(mutex_);
  if (ordinal_.value_or(ordinal) != ordinal) {
    throw ConfigError("[adopt_nccl] the communicator is one of device " + std::to_string(ordinal) +
                      ", and rank " + std::to_string(rank_) + " works on device " +
                      std::to_string(*ordinal_) + kOneDevice);
  }
  ordinal_ = ordinal;
}

bool Serving::adopt_thread() {
  // To open a device takes its time, and others' operations shall not wait for it.
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock() || !device_) return false;
  device_->adopt_thread();
  return true;
}

void Serving::close() noexcept {
  const std::scoped_lock lock(mutex_);
  if (device_) device_->close();
}

}  // namespace ringsync
