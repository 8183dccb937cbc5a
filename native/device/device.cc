#include "device/device.h"

#include <unistd.h>

#include <string>
#include <utility>

#include "base/error.h"
#include "base/futex.h"

namespace ringsync {
namespace {

constexpr auto kPatience = std::chrono::seconds(1);

}  // namespace

Device::InUse::InUse(const Device& device) : api_(device.api_) {
  const bool is_known = api_.device_in_use(&before_) == kRsOk;
  is_other_ = !is_known || before_ != device.ordinal_;
  if (is_other_) device.require(api_.use_device(device.ordinal_), "it cannot be used");
}

Device::InUse::~InUse() {
  if (is_other_) api_.use_device(before_);
}

/// Outlives the device: a transfer may be done later than anybody waits for.
struct Device::Bell {
  std::mutex mutex;
  std::function<void()> ring;  // guarded by mutex; empty once closed
  std::atomic<uint32_t> in_flight{0};
};

/// What the plug-in's thread is given.
struct Device::News {
  std::shared_ptr<Bell> bell;
  std::shared_ptr<Transfer> transfer;
};

Device::Device(const std::filesystem::path& plugin, const void* memory,
               PinnedPool::Allocate allocate, std::function<void()> ring)
    : plugin_(plugin),
      api_(plugin_.api()),
      ordinal_(ordinal_of(memory)),
      pid_(::getpid()),
      bell_(std::make_shared<Bell>()),
      pool_(std::make_shared<PinnedPool>(api_, std::move(allocate))) {
  const InUse in_use(*this);
  require(api_.create_stream(1, &from_device_), "there is no stream from it");
  require(api_.create_stream(1, &to_device_), "there is no stream to it");
  bell_->ring = std::move(ring);
}

int Device::ordinal_of(const void* memory) const {
  int32_t count = 0;
  const RsStatus status = api_.count_devices(&count);
  if (count == 0) throw ConfigError("[device] " + plugin_.describe(status));
  const int place = memory != nullptr ? place_of(memory) : kRsNowhere;
  if (place != kRsNowhere) return place;
  int32_t in_use = 0;
  require(api_.device_in_use(&in_use), "no device is in use");
  return in_use;
}

bool Device::is_here() const { return ::getpid() == pid_; }

Device::~Device() {
  if (!is_here()) return;
  close();
  if (bell_->in_flight != 0) return;  // to destroy a stream that stands still may take for ever
  for (void* const event : events_) api_.destroy_event(event);
  api_.destroy_stream(from_device_);
  api_.destroy_stream(to_device_);
}

int Device::place_of(const void* memory) const {
  int32_t device = kRsNowhere;
  require(api_.look_at_memory(memory, &device), "memory cannot be looked at");
  return device;
}

Mark Device::mark(void* stream) {
  void* event = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (!events_.empty()) {
      event = events_.back();
      events_.pop_back();
    }
  }
  if (event == nullptr) {
    const InUse in_use(*this);
    require(api_.create_event(0, &event), "there is no event");
  }
  const Mark mark(event, [this](void* done) {
    const std::lock_guard lock(mutex_);
    events_.push_back(done);
  });
  require(api_.record_event(event, stream), "the array's stream takes no event");
  return mark;
}

std::shared_ptr<std::byte> Device::allocate(size_t bytes) {
  void* memory = nullptr;
  const InUse in_use(*this);
  require(api_.allocate(bytes, &memory), "no memory for a result");
  return {static_cast<std::byte*>(memory),
          [api = &api_](std::byte* released) { api->release(released); }};
}

std::shared_ptr<const Transfer> Device::fetch(const Mark& after, ByteSpan from,
                                              std::shared_ptr<std::byte> to) {
  require(api_.wait_event(from_device_, after.get()), "its stream does not wait");
  require(api_.copy(to.get(), from.data(), from.size(), from_device_), "no copy from it");
  return watch(std::move(to), from_device_);
}

std::shared_ptr<const Transfer> Device::deliver(std::shared_ptr<std::byte> from,
                                                MutableByteSpan to) {
  require(api_.copy(to.data(), from.get(), to.size(), to_device_), "no copy to it");
  return watch(std::move(from), to_device_);
}

std::shared_ptr<const Transfer> Device::watch(std::shared_ptr<std::byte> memory, void* stream) {
  auto transfer = std::make_shared<Transfer>(std::move(memory));
  auto news = std::make_unique<News>(News{bell_, transfer});
  ++bell_->in_flight;
  const RsStatus status = api_.notify(&on_done, news.get(), stream);
  if (status != kRsOk) --bell_->in_flight;
  require(status, "it tells nobody what is done");
  static_cast<void>(news.release());
  return transfer;
}

void Device::on_done(void* context) {
  const std::unique_ptr<News> news(static_cast<News*>(context));
  Bell& bell = *news->bell;
  news->transfer->note_done();
  {
    const std::lock_guard lock(bell.mutex);
    if (bell.ring) bell.ring();
  }
  --bell.in_flight;
  futex_wake_all(bell.in_flight);
}

bool Device::wait(const Transfer& transfer, Deadline deadline) const {
  while (!transfer.is_done()) {
    const uint32_t seen = bell_->in_flight;
    if (transfer.is_done() || Clock::now() >= deadline) break;
    futex_wait(bell_->in_flight, seen, deadline);
  }
  return transfer.is_done();
}

bool Device::settle(const Transfer& transfer) const {
  return wait(transfer, Clock::now() + kPatience);
}

void Device::close() noexcept {
  if (!is_here()) return;
  {
    const std::lock_guard lock(bell_->mutex);
    if (!bell_->ring) return;
    bell_->ring = nullptr;
  }
  const Deadline deadline = Clock::now() + kPatience;
  while (const uint32_t left = bell_->in_flight) {
    if (Clock::now() >= deadline) return;
    futex_wait(bell_->in_flight, left, deadline);
  }
}

void Device::require(RsStatus status, const char* what) const {
  if (status == kRsOk) return;
  throw Error("[device] " + std::string(what) + ": " + plugin_.describe(status));
}

}  // namespace ringsync
