#pragma once

// Finds NCCL, joins a communicator, and gives it its calls, all on one thread. What is called, and
// how ranks tell one another, is for those who use it; whose thread it is, nccl_thread.h's matter.

#include <atomic>
#include <cstdint>
#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "device/device.h"
#include "device/fusion_room.h"
#include "device/nccl_communicator.h"
#include "device/nccl_door.h"
#include "device/nccl_talk.h"

namespace ringsync {

/// Which NCCL a rank takes, as NcclLibrary says.
struct NcclChoice {
  bool is_wanted = false;
  std::filesystem::path chosen;
  std::vector<std::filesystem::path> candidates;
  /// As NcclCommunicator::Place says. Whoever names a number takes room of the device's for it.
  int max_ctas = 0;
  /// Somebody else's communicator, made with that NCCL; null: one of its own is joined.
  nccl::Comm* adopted = nullptr;
  /// By which it is called; closed, shut if the communicator is somebody else's, when nobody wants
  /// it any more.
  std::shared_ptr<NcclDoor> door;
  /// What messages call the rank.
  std::string who;
};

/// Where calls are put: a stream of their own, and room on the device that is summed there.
struct NcclStage {
  NcclCommunicator& communicator;
  NcclCommunicator::Turn turn;
  FusionRoom& room;
};

/// What has been put: the last thing in which other ranks take part, and the stream of what comes
/// last.
struct NcclPut {
  DeviceEvent passed;
  void* stream = nullptr;
  Measures measures;
};

/// Puts all that it takes. Throws Error.
using NcclCall = std::function<NcclPut(const NcclStage&)>;

class NcclService {
 public:
  NcclService(std::shared_ptr<Device> device, NcclChoice choice, NcclCommunicator::Place place,
              size_t room_bytes)
      : device_(std::move(device)),
        choice_(std::move(choice)),
        door_(*choice_.door),
        place_(std::move(place)),
        room_bytes_(room_bytes) {}
  NcclService(const NcclService&) = delete;
  NcclService& operator=(const NcclService&) = delete;

  /// Until nobody wants it any more, or it has failed: the thread's work.
  void work(NcclTalk& talk);

  // For one other thread, meanwhile; none of these waits, but for leave() as NcclDoor::shut() does.

  bool is_ready() const { return state_ == State::kReady; }
  std::optional<std::string> take_failure();
  std::shared_ptr<const StreamWork> post(NcclCall call);
  std::exception_ptr failure();
  void leave() noexcept;
  /// It will never work.
  void note_failure(std::string why);

 private:
  enum class State : uint8_t { kOnTheWay, kReady, kFailed };
  /// A call that waits for its turn.
  struct Posted {
    NcclCall call;
    std::shared_ptr<StreamWork> work;
  };

  void raise() noexcept;
  void look(NcclTalk& talk);
  bool find_room();
  std::optional<nccl::UniqueId> agree(NcclTalk& talk);
  std::optional<nccl::UniqueId> find_id(NcclTalk& talk);
  void make_room(const NcclCommunicator::Turn& turn);
  void connect(const NcclCommunicator::Turn& turn);
  void come_together(const nccl::UniqueId& id);
  bool check();
  [[noreturn]] void fail_to_come() const;
  void settle(Deadline deadline, const std::function<bool()>& is_done) const;
  void serve();
  std::optional<Posted> take();
  void perform(Posted& one);
  void fail(const std::exception_ptr& error);
  void close_for(const std::exception_ptr& error);
  void drop(StreamWork& work, const std::exception_ptr& error) const;
  void clear() noexcept;
  bool is_at_work() const { return last_ && !last_->is_done(); }

  const std::shared_ptr<Device> device_;
  const NcclChoice choice_;
  NcclDoor& door_;
  const NcclCommunicator::Place place_;
  const size_t room_bytes_;
  std::atomic<State> state_{State::kOnTheWay};
  std::string failure_;  // written before state_
  /// Raised with whatever the thread is to look at; it sleeps there.
  std::atomic<uint32_t> news_{0};
  std::mutex mutex_;
  // Guarded by mutex_.
  std::deque<Posted> posted_;
  std::exception_ptr closed_;            // why nothing is taken any more
  std::atomic<bool> has_failed_{false};  // for that reason; written under mutex_

  // The thread's alone.
  std::optional<NcclLibrary> library_;
  std::shared_ptr<const void> kernel_room_;
  std::unique_ptr<NcclCommunicator> communicator_;
  std::shared_ptr<void> stream_;
  std::shared_ptr<std::byte> memory_;
  std::unique_ptr<FusionRoom> room_;
  std::shared_ptr<StreamWork> last_;
};

}  // namespace ringsync
