#pragma once

// Memory of a group's ranks on their devices, which all of them see, and runs of schedules over it
// in stream order: packed, summed where it lies, unpacked, without a wait of any host. Ranks tell
// one another by flags when a phase is over; who gives up on a peer lets its own stream run out.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "collective/route.h"
#include "device/device.h"
#include "device/fusion_room.h"
#include "device/reduction.h"
#include "engine/device_call.h"
#include "engine/device_graphs.h"
#include "engine/nccl_peers.h"
#include "engine/operation.h"
#include "engine/request.h"
#include "transport/transport.h"

namespace ringsync {

/// Whether kernels do it: sums of most types, copies of all, of not too many ranks.
bool suits_devices(const Request& request, int size);

/// Flags of a run's begin, of the end of its first phase and of every second one after it, and of
/// the other phases' ends: no two exchanges in a row have the same kind, whatever runs they are of.
inline constexpr size_t kFlagKinds = 3;
inline constexpr size_t kEntryFlag = 0;

/// One thread at a time.
class DevicePeers {
 public:
  /// Makes this rank's share. Throws Error where there is no memory for it, or other processes
  /// could not open it. `nccl` is looked for once all ranks see each other's.
  DevicePeers(std::shared_ptr<Device> device, const GroupView& group, Transport& transport,
              NcclChoice nccl);
  DevicePeers(const DevicePeers&) = delete;
  DevicePeers& operator=(const DevicePeers&) = delete;
  ~DevicePeers();

  /// Its own device has taken the first words; until then nothing else may be asked of it. Throws
  /// Error where it has not for too long.
  bool is_set_up();
  /// When that is; kNever once it has taken them.
  Deadline set_up_by() const;
  /// Where peers learn of it.
  const Registration& share_at() const { return registration_; }
  /// Sees the others' share, of which they have told where; by rank. False where some of it cannot
  /// be seen. Once.
  bool open(const std::vector<Header>& headers);
  /// Most bytes of an array that is not cut into pieces: equal on all ranks, once it is known of
  /// all.
  size_t piece_bytes() const { return piece_bytes_; }

  /// NCCL has joined the group, as far as this rank knows.
  bool has_nccl() const { return nccl_ && nccl_->is_ready(); }
  /// Why it will not, once; nothing where nobody has to know.
  std::optional<std::string> take_nccl_failure();

  /// Why NCCL has failed with what it was given, as NcclPeers says.
  std::exception_ptr nccl_failure() const { return nccl_ ? nccl_->failure() : nullptr; }
  /// What is run by NCCL, once that has joined.
  NcclPeers& nccl() { return *nccl_; }
  void leave_nccl() noexcept {
    if (nccl_) nccl_->leave();
  }

  /// What is run from now on starts so. Throws Error.
  void begin(DeviceStart start);
  /// Throws Error.
  void run(const std::shared_ptr<const Route>& route, const DevicePiece& piece);
  void run(const std::shared_ptr<const Route>& route, const DeviceBucket& bucket);
  /// Of all that has been run so far. Throws Error.
  std::shared_ptr<const StreamWork> end();
  /// Something has been run since, or has failed half-way.
  bool is_begun() const { return is_begun_; }

  /// The others are not to be waited for any more: what runs ends, if that can be by the deadline.
  /// `is_idle`: of the group nothing is in flight.
  void give_up(Deadline deadline, bool is_idle) noexcept;

 private:
  struct Share;
  /// A rank's memory as this one sees it.
  struct Peer {
    std::byte* fusion = nullptr;
    std::byte* flags = nullptr;
    bool is_opened = false;  // of another process, to be closed
  };

  void forget_all();
  bool open_one(const Share& share, Peer& peer);
  void go_through(const std::shared_ptr<const Route>& route, const DevicePiece& piece,
                  MutableByteSpan half);
  void put(const Route& route, const DevicePiece& piece);
  void exchange(const std::vector<int>& neighbours, size_t kind);
  void apply(const Step& step, const DevicePiece& piece);
  std::byte* place_of(int rank, const Range& range, const DevicePiece& piece) const;
  void write(std::span<uint32_t* const> words, uint32_t value, const char* what);
  static uint32_t* flag(std::byte* flags, int of, size_t kind);
  uint32_t* silence() const;

  const std::shared_ptr<Device> device_;
  const GroupView& group_;
  const RsDeviceApi& api_;
  std::shared_ptr<std::byte> share_;
  Registration registration_;
  bool has_shareable_threads_ = false;  // ranks that are threads of one process may use it
  size_t piece_bytes_ = 0;              // half of the smallest of all ranks
  std::shared_ptr<std::byte> fusion_;
  std::shared_ptr<std::byte> flags_;
  std::shared_ptr<void> stream_;
  std::unique_ptr<DeviceGraphs> graphs_;  // of that stream
  std::unique_ptr<FusionRoom> room_;
  size_t offset_ = 0;  // of the half that is summed
  DeviceStart start_;
  Measures measures_;                   // of what has been run since
  std::shared_ptr<void> rescue_;        // for when that one waits
  std::vector<Peer> peers_;             // by rank; its own as well
  std::vector<const NcclWord*> words_;  // likewise
  const NcclChoice nccl_choice_;
  std::unique_ptr<NcclPeers> nccl_;
  std::shared_ptr<const StreamWork> last_;
  DeviceEvent passed_;  // behind the last flag of what has been run
  bool is_begun_ = false;
  bool has_given_up_ = false;
  std::shared_ptr<const StreamWork> first_words_;  // null once they have been looked at
  Deadline set_up_by_ = kNever;
};

}  // namespace ringsync
