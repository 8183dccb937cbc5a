#pragma once

// A device as one engine uses it: copies between its memory and pinned memory of the host, in
// stream order. Nobody waits for them; what is copied when is decided by those who ask.

#include <sys/types.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/span.h"
#include "device/kept_memory.h"
#include "device/kernel_room.h"
#include "device/pinned_pool.h"
#include "device/plugin.h"
#include "device/stream_work.h"

namespace ringsync {

/// Any thread, unless it says otherwise.
class Device {
 public:
  /// Loads the plug-in, for the device that `memory` lies on, or the calling thread's. It is that
  /// of rank `rank`, as messages say. `allocate` makes memory of the host that peers see; `ring` is
  /// called, by a thread of the device's, whenever a transfer is done. What is shareable is taken
  /// from `kept` and comes back there; null: this device's alone. Throws ConfigError where there is
  /// no device, and Error.
  Device(const std::filesystem::path& plugin, const void* memory, int rank,
         PinnedPool::Allocate allocate, std::function<void()> ring,
         std::shared_ptr<KeptMemory> kept = nullptr);
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  /// In a forked child, which has no device, nothing is given back.
  ~Device();

  /// Makes this device the calling thread's, which may be the user's, as long as it lives.
  class InUse {
   public:
    explicit InUse(const Device& device);
    InUse(const InUse&) = delete;
    InUse& operator=(const InUse&) = delete;
    ~InUse();

   private:
    const RsDeviceApi& api_;
    int32_t before_ = 0;
    bool is_other_ = false;
  };

  int ordinal() const { return ordinal_; }
  /// For example "device 0 of rank 1".
  std::string name() const;
  /// False in a forked child, which has no device.
  bool is_here() const;
  const RsDeviceApi& api() const { return api_; }
  /// Throws Error, where a call of the table has failed.
  void require(RsStatus status, const std::string& what) const;
  /// Where some memory lies; kRsNowhere if on no device.
  int place_of(const void* memory) const;

  /// For kernels that wait for those of other ranks.
  KernelRoom& kernel_room() { return kernel_room_; }
  /// A stream of its own, before others; ends with the last pointer. Throws Error.
  std::shared_ptr<void> make_stream() const;
  /// Of a stream, or a null one, of any library that works on this device; one whose time a clock
  /// can tell, or not. Throws Error.
  DeviceEvent record(void* stream, bool is_timed = false);
  /// For timed events that are recorded from now on; null where it cannot be read soon. Throws
  /// Error.
  std::shared_ptr<const DeviceClock> clock();
  /// Pinned, holding anything. Throws Error.
  std::shared_ptr<std::byte> lend(size_t bytes) { return pool_->lend(bytes); }
  /// Keeps memory of the host until this is gone.
  void keep(std::shared_ptr<std::byte> memory);
  /// Memory of the device; may outlive this. Throws Error.
  std::shared_ptr<std::byte> allocate(size_t bytes) const;
  /// Memory of the device that other processes may open, as its base; with the last pointer it may
  /// be lent again, and never goes back to the driver: somebody may have it open. May outlive this.
  /// Throws Error.
  std::shared_ptr<std::byte> lend_shareable(size_t bytes);

  /// What the stream, or a null one, is given from now on comes behind the event. Throws Error.
  void wait_for(void* stream, const DeviceEvent& event) const;
  /// True once the stream has come there. Throws Error.
  bool is_reached(const DeviceEvent& event) const;

  /// A fetch that is not urgent can be begun, unless another thread is faster.
  bool has_stream();
  /// Starts to copy from the device what lies at `from` once `after` has been reached; no copy
  /// waits for another's event. Null where as many wait already as make sense, unless it is urgent.
  /// Throws Error.
  std::shared_ptr<const StreamWork> fetch(const DeviceEvent& after, ByteSpan from,
                                          std::shared_ptr<std::byte> to, bool is_urgent);
  /// Starts to copy to the device. Throws Error.
  std::shared_ptr<const StreamWork> deliver(std::shared_ptr<std::byte> from, MutableByteSpan to);
  /// For what a stream is going to be given: to be watched, or dropped.
  std::shared_ptr<StreamWork> expect(std::shared_ptr<std::byte> memory = nullptr);
  /// It has been put on the stream, up to `passed` with other ranks; rings when it is done. Throws
  /// Error.
  void watch(const std::shared_ptr<StreamWork>& work, void* stream, DeviceEvent passed,
             Measures measures = {});
  /// Likewise, of what has failed half-way: nobody but who waits for its end has to know.
  void watch_rest(const std::shared_ptr<StreamWork>& work, void* stream) {
    tell_of(work, stream, nullptr);
  }
  /// Nothing of it will be on any stream.
  void drop(StreamWork& work);
  /// Has the engine look at what has become of its work.
  void ring() noexcept;
  /// Waits for it; false where it is not done at the deadline.
  bool wait(const StreamWork& work, Deadline deadline) const;

  /// Makes this device that of the calling thread, for good.
  void adopt_thread() const { api_.use_device(ordinal_); }
  /// Rings no more, and waits a second at most for what is on its way. Idempotent.
  void close() noexcept;

 private:
  struct Bell;
  struct News;
  /// Those that nobody uses; they outlive the device where something is on its way.
  struct Events {
    std::mutex mutex;
    // Guarded by mutex.
    std::vector<void*> plain;
    std::vector<void*> timed;
  };

  static void on_done(void* context, RsStatus status);
  std::shared_ptr<const StreamWork> watch_copy(std::shared_ptr<std::byte> memory, void* stream,
                                               DeviceEvent end, void* given_back);
  void tell_of(const std::shared_ptr<StreamWork>& work, void* stream, void* given_back);
  void settle_one() noexcept;
  void* take_stream(bool is_urgent);
  int ordinal_of(const void* memory) const;

  const Plugin plugin_;
  const int rank_;
  const RsDeviceApi& api_;
  const int ordinal_;
  const pid_t pid_;  // of the process that has it
  const std::shared_ptr<Bell> bell_;
  const std::shared_ptr<Events> events_;
  const std::shared_ptr<KeptMemory> kept_;
  KernelRoom kernel_room_;
  std::shared_ptr<PinnedPool> pool_;
  std::shared_ptr<void> to_device_;  // stream
  std::shared_ptr<void> ticking_;    // likewise, once there is a clock
  std::shared_ptr<const DeviceClock> clock_;
  int64_t clock_asked_ns_ = 0;  // when it could not be read
  std::mutex mutex_;
  // Guarded by mutex_.
  size_t fetch_streams_ = 0;                              // so many have been made
  std::vector<std::shared_ptr<std::byte>> kept_of_host_;  // likewise
};

}  // namespace ringsync
