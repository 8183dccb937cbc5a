#include "device/device.h"

#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/forget.h"
#include "base/futex.h"
#include "device/plugin_range.h"

namespace ringsync {
namespace {

/// Fetches that wait at the same time: as many as keep a device's copy engine busy, and no more,
/// because each takes a stream.
constexpr size_t kMostFetching = 8;

/// For what is on its way when an engine ends: some copies, or what never ends.
constexpr auto kPatience = std::chrono::seconds(1);

}  // namespace

Device::InUse::InUse(const Device& device) : api_(device.api_) {
  const bool is_known = api_.device_in_use(&before_) == kRsOk;
  is_other_ = !is_known || before_ != device.ordinal_;
  // Where that fails, so does what is asked for next, and says so.
  if (is_other_) api_.use_device(device.ordinal_);
}

Device::InUse::~InUse() {
  if (is_other_) api_.use_device(before_);
}

/// Outlives the device: a transfer may be done later than anybody waits for.
struct Device::Bell {
  std::mutex mutex;
  std::function<void()> ring;       // guarded by mutex; empty once closed
  std::vector<void*> free_streams;  // for fetches; likewise
  std::atomic<uint32_t> in_flight{0};
};

/// What the plug-in's thread is given.
struct Device::News {
  std::shared_ptr<Bell> bell;
  std::shared_ptr<StreamWork> work;
  void* free_stream;  // null: none that is given back
};

Device::Device(const std::filesystem::path& plugin, const void* memory, int rank,
               PinnedPool::Allocate allocate, std::function<void()> ring,
               std::shared_ptr<KeptMemory> kept)
    : plugin_(plugin),
      rank_(rank),
      api_(plugin_.api()),
      ordinal_(ordinal_of(memory)),
      pid_(::getpid()),
      bell_(std::make_shared<Bell>()),
      events_(std::make_shared<Events>()),
      kept_(kept ? std::move(kept) : std::make_shared<KeptMemory>()),
      pool_(std::make_shared<PinnedPool>(api_, std::move(allocate))) {
  const InUse in_use(*this);
  to_device_ = make_stream();
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
  clock_.reset();  // whose event comes back
  {
    const std::scoped_lock lock(events_->mutex);
    for (auto* const kept : {&events_->plain, &events_->timed}) {
      for (void* const event : *kept) api_.destroy_event(event);
      kept->clear();
    }
  }
  std::vector<void*> free_streams;
  {
    const std::scoped_lock lock(bell_->mutex);
    free_streams.swap(bell_->free_streams);
  }
  // Of others than these one stands still, and to destroy it may take for ever.
  for (void* const stream : free_streams) api_.destroy_stream(stream);
  if (bell_->in_flight == 0) return;
  forget(std::move(to_device_));
  forget(std::move(pool_));  // or the last that is done would give pages back amid a stream
}

int Device::place_of(const void* memory) const {
  int32_t device = kRsNowhere;
  require(api_.look_at_memory(memory, &device), "memory cannot be looked at");
  return device;
}

std::shared_ptr<void> Device::make_stream() const {
  const InUse in_use(*this);
  void* stream = nullptr;
  require(api_.create_stream(1, &stream), "a stream cannot be made");
  return {stream, [api = &api_, pid = pid_](void* made) {
            if (::getpid() == pid) api->destroy_stream(made);
          }};
}

std::shared_ptr<std::byte> Device::allocate(size_t bytes) const {
  void* memory = nullptr;
  const InUse in_use(*this);
  require(api_.allocate(bytes, &memory), "no memory for " + std::to_string(bytes) + " bytes");
  return {static_cast<std::byte*>(memory), [api = &api_, pid = pid_](std::byte* released) {
            if (::getpid() == pid) api->release(released);
          }};
}

void Device::keep(std::shared_ptr<std::byte> memory) {
  const std::scoped_lock lock(mutex_);
  kept_of_host_.push_back(std::move(memory));
}

std::shared_ptr<std::byte> Device::lend_shareable(size_t bytes) {
  const KeptMemory::Kind kind{&api_, ordinal_, bytes, pid_};
  std::byte* memory = kept_->take(kind);
  if (memory == nullptr) {
    const InUse in_use(*this);
    void* made = nullptr;
    require(api_.allocate(bytes, &made), "no memory for " + std::to_string(bytes) + " bytes");
    memory = static_cast<std::byte*>(made);
  }
  return {memory, [kept = kept_, kind](std::byte* returned) {
            if (::getpid() == kind.owner) kept->keep(kind, returned);
          }};
}

bool Device::has_stream() {
  const std::scoped_lock lock(mutex_, bell_->mutex);
  return !bell_->free_streams.empty() || fetch_streams_ < kMostFetching;
}

/// Null where there is none, unless it is urgent.
void* Device::take_stream(bool is_urgent) {
  {
    const std::scoped_lock lock(mutex_, bell_->mutex);
    if (!bell_->free_streams.empty()) {
      void* const stream = bell_->free_streams.back();
      bell_->free_streams.pop_back();
      return stream;
    }
    if (!is_urgent && fetch_streams_ >= kMostFetching) return nullptr;
    ++fetch_streams_;
  }
  // Without the locks: to make one may wait for a thread of the plug-in's, which may wait for them.
  const InUse in_use(*this);
  void* stream = nullptr;
  require(api_.create_stream(1, &stream), "a stream cannot be made");
  return stream;
}

std::shared_ptr<const StreamWork> Device::fetch(const DeviceEvent& after, ByteSpan from,
                                                std::shared_ptr<std::byte> to, bool is_urgent) {
  void* const stream = take_stream(is_urgent);
  if (stream == nullptr) return nullptr;
  const PluginRange range(api_, "fetch");
  wait_for(stream, after);
  require(api_.copy(to.get(), from.data(), from.size(), stream), "values cannot be fetched");
  return watch_copy(std::move(to), stream, nullptr, stream);
}

std::shared_ptr<const StreamWork> Device::deliver(std::shared_ptr<std::byte> from,
                                                  MutableByteSpan to) {
  const PluginRange range(api_, "deliver");
  require(api_.copy(to.data(), from.get(), to.size(), to_device_.get()),
          "values cannot be delivered");
  return watch_copy(std::move(from), to_device_.get(), record(to_device_.get()), nullptr);
}

std::shared_ptr<const StreamWork> Device::watch_copy(std::shared_ptr<std::byte> memory,
                                                     void* stream, DeviceEvent end,
                                                     void* given_back) {
  const std::shared_ptr<StreamWork> work = expect(std::move(memory));
  work->note_put(nullptr, std::move(end));
  try {
    tell_of(work, stream, given_back);
  } catch (...) {
    settle_one();
    throw;
  }
  return work;
}

std::shared_ptr<StreamWork> Device::expect(std::shared_ptr<std::byte> memory) {
  auto work = std::make_shared<StreamWork>(std::move(memory));
  ++bell_->in_flight;
  return work;
}

void Device::watch(const std::shared_ptr<StreamWork>& work, void* stream, DeviceEvent passed,
                   Measures measures) {
  work->note_put(std::move(passed), record(stream),
                 std::move(measures));  // first: it may be done at once
  tell_of(work, stream, nullptr);
}

void Device::drop(StreamWork& work) {
  work.note_done(kRsOk);
  settle_one();
  ring();
}

void Device::ring() noexcept {
  const std::scoped_lock lock(bell_->mutex);
  if (bell_->ring) bell_->ring();
}

/// Whoever waits for something in flight looks again.
void Device::settle_one() noexcept {
  --bell_->in_flight;
  futex_wake_all(bell_->in_flight);
}

void Device::tell_of(const std::shared_ptr<StreamWork>& work, void* stream, void* given_back) {
  auto news = std::make_unique<News>(News{bell_, work, given_back});
  const RsStatus status = api_.notify(&on_done, news.get(), stream);
  if (status != kRsOk) forget(std::move(news));  // it is on its way all the same
  require(status, "completion cannot be reported");
  static_cast<void>(news.release());
}

void Device::on_done(void* context, RsStatus status) {
  const std::unique_ptr<News> news(static_cast<News*>(context));
  const std::shared_ptr<Bell> bell = std::move(news->bell);
  news->work->note_done(status);
  {
    const std::scoped_lock lock(bell->mutex);
    if (news->free_stream != nullptr && status == kRsOk) {
      bell->free_streams.push_back(news->free_stream);
    }
    if (bell->ring) bell->ring();
  }
  // The memory first: with the last that is in flight the device may end.
  news->work.reset();
  --bell->in_flight;
  futex_wake_all(bell->in_flight);
}

bool Device::wait(const StreamWork& work, Deadline deadline) const {
  while (!work.is_done()) {
    const uint32_t seen = bell_->in_flight;
    if (work.is_done() || Clock::now() >= deadline) break;
    futex_wait(bell_->in_flight, seen, deadline);
  }
  return work.is_done();
}

void Device::close() noexcept {
  if (!is_here()) return;
  {
    const std::scoped_lock lock(bell_->mutex);
    if (!bell_->ring) return;
    bell_->ring = nullptr;
  }
  const Deadline deadline = Clock::now() + kPatience;
  while (const uint32_t left = bell_->in_flight) {
    if (Clock::now() >= deadline) return;
    futex_wait(bell_->in_flight, left, deadline);
  }
}

void Device::require(RsStatus status, const std::string& what) const {
  if (status == kRsOk) return;
  throw Error("[device] " + name() + ": " + what + ": " + plugin_.describe(status));
}

std::string Device::name() const {
  return "device " + std::to_string(ordinal_) + " of rank " + std::to_string(rank_);
}

}  // namespace ringsync
