#pragma once

// Memory of a group's ranks on their devices, which all of them see, and runs of schedules over it
// in stream order: packed, summed where it lies, unpacked, without a wait of any host. Ranks tell
// one another by flags when a phase is over; who gives up on a peer lets its own stream run out.

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "collective/route.h"
#include "device/device.h"
#include "device/reduction.h"
#include "engine/operation.h"
#include "engine/request.h"
#include "transport/transport.h"

namespace ringsync {

/// Whether kernels do it: sums of most types, copies of all, of not too many ranks.
bool suits_devices(const Request& request, int size);

/// One thread at a time.
class DevicePeers {
 public:
  /// Makes this rank's share. Throws Error where there is no memory for it, or it cannot be shared.
  DevicePeers(std::shared_ptr<Device> device, const GroupView& group, Transport& transport);
  DevicePeers(const DevicePeers&) = delete;
  DevicePeers& operator=(const DevicePeers&) = delete;
  ~DevicePeers();

  /// Where peers learn of it.
  const Registration& notice() const { return registration_; }
  /// Sees the others' share, of which they have told where; by rank. False where some of it cannot
  /// be seen. Once.
  bool open(const std::vector<Header>& headers);
  /// Most bytes of an array that are not cut into pieces. Equal on all ranks, once they are open.
  size_t piece_bytes() const { return piece_bytes_; }

  /// One piece of an array on its way.
  struct Piece {
    /// What this rank gives; empty: nothing.
    ByteSpan input;
    /// Where the result goes, and whether the schedule writes it there itself.
    MutableByteSpan output;
    bool is_output_apart = false;
    Dtype dtype = Dtype::kUint8;
    Reduction reduction;
  };
  /// Nothing goes on before `mark` has been reached.
  void wait_for(const Mark& mark);
  /// Throws Error.
  void run(const Route& route, const Piece& piece);
  /// Of all that has been run so far.
  std::shared_ptr<const Transfer> end();

  /// The others are not to be waited for any more: what runs ends, a second at most from now.
  void give_up() noexcept;

 private:
  struct Notice;
  /// Another rank's, as seen from here; of its process, it was opened.
  struct Peer {
    std::byte* arena = nullptr;
    std::byte* flags = nullptr;
    bool is_opened = false;
  };

  bool open_one(const Notice& notice, Peer& peer);
  void exchange(const std::vector<int>& neighbours);
  void apply(const Step& step, const Piece& piece);
  std::byte* place_of(int rank, const Range& range, const Piece& piece) const;
  uint32_t* flag(std::byte* flags, int of) const;

  const std::shared_ptr<Device> device_;
  const GroupView& group_;
  const RsDeviceApi& api_;
  std::shared_ptr<std::byte> notice_;
  Registration registration_;
  std::byte* arena_ = nullptr;
  std::byte* flags_ = nullptr;
  size_t arena_bytes_ = 0;
  size_t piece_bytes_ = 0;
  void* stream_ = nullptr;
  void* rescue_ = nullptr;
  std::vector<Peer> peers_;  // by rank; its own as well
  uint32_t value_ = 0;       // of the flags at the end of what has been run, in a circle
  std::shared_ptr<const Transfer> last_;
  bool has_given_up_ = false;
};

}  // namespace ringsync
