// Marks in a device's streams, and when it came to them.

#include <unistd.h>

#include <memory>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "device/device.h"

namespace ringsync {
namespace {

/// Times are told in milliseconds, as floats: after so long still to a microsecond.
constexpr int64_t kTicksNs = 10'000'000'000;

/// For an event of a stream that has nothing else to do: tens of microseconds, tens of milliseconds
/// where eight want each core, and longer only if the driver puts it behind a stream that waits.
/// Of what is done until the next reading nothing is seen then.
constexpr auto kReading = std::chrono::milliseconds(100);

}  // namespace

DeviceEvent Device::record(void* stream, bool is_timed) {
  void* event = nullptr;
  std::vector<void*>& kept = is_timed ? events_->timed : events_->plain;
  {
    const std::scoped_lock lock(events_->mutex);
    if (!kept.empty()) {
      event = kept.back();
      kept.pop_back();
    }
  }
  const InUse in_use(*this);
  if (event == nullptr) {
    require(api_.create_event(is_timed ? 1 : 0, &event), "an event cannot be made");
  }
  const DeviceEvent recorded(event, [events = events_, &kept, pid = pid_](void* done) {
    if (::getpid() != pid) return;
    const std::scoped_lock lock(events->mutex);
    kept.push_back(done);
  });
  require(api_.record_event(event, stream), "an event cannot be recorded in the array's stream");
  return recorded;
}

std::shared_ptr<const DeviceClock> Device::clock() {
  // What is replaced ends once this is unlocked: it may wait for who waits for the lock.
  std::shared_ptr<void> ticking;
  std::shared_ptr<const DeviceClock> clock;
  {
    const std::scoped_lock lock(mutex_);
    const int64_t now = now_ns();
    if (clock_ && now - clock_->start_ns() < kTicksNs) return clock_;
    if (now - clock_asked_ns_ < kTicksNs) return nullptr;
    clock_asked_ns_ = now;  // until it is read
    ticking = ticking_;
  }
  if (!ticking) ticking = make_stream();
  const int64_t before_ns = now_ns();
  DeviceEvent start = record(ticking.get(), true);
  const std::shared_ptr<StreamWork> read = expect();
  watch(read, ticking.get(), nullptr);
  const bool is_read = wait(*read, Clock::now() + kReading);
  if (is_read) {
    const int64_t start_ns = before_ns + (read->done_ns() - before_ns) / 2;
    clock = std::make_shared<const DeviceClock>(api_, std::move(start), start_ns);
  }
  std::shared_ptr<const DeviceClock> result = clock;
  const std::scoped_lock lock(mutex_);
  ticking_.swap(ticking);
  if (is_read) {
    clock_.swap(clock);
    clock_asked_ns_ = 0;
  }
  return result;
}

void Device::wait_for(void* stream, const DeviceEvent& event) const {
  const InUse in_use(*this);  // whose null stream it may be
  require(api_.wait_event(stream, event.get()), "an event cannot be waited for");
}

bool Device::is_reached(const DeviceEvent& event) const {
  int32_t is_reached = 0;
  require(api_.query_event(event.get(), &is_reached), "an event cannot be asked for");
  return is_reached != 0;
}

}  // namespace ringsync
