#pragma once

// What ranks tell each other before any data moves, and the comparison that turns a disagreement
// into one sentence. Pure; all ranks see the same headers and reach the same verdict.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/span.h"
#include "engine/request.h"
#include "transport/transport.h"

namespace ringsync {

inline constexpr uint64_t kNobody = UINT64_MAX;

/// Under which nothing else meets: numbers begin with 1.
inline constexpr uint64_t kJoinKey = 0;

/// What a message on the board is.
enum class Notice : uint8_t {
  /// The header of an announcement follows, and what it carries.
  kAnnouncement = 0,
  /// Keys of calls that the rank has submitted and that are not done.
  kPending = 1,
  /// Keys of the calls that come next, in their order.
  kOrder = 2,
};

/// Where ranks work on arrays that lie on devices; those on the host all take the first.
enum class Site : uint8_t {
  /// In memory of the host, where its values are.
  kHost = 0,
  /// There, but its values are not there yet: all announce it once more when they are.
  kComing = 1,
  /// There, or on the device, if all ranks see the memory there of which they tell.
  kOffered = 2,
  /// On the device.
  kDevice = 3,
  /// On the device, by NCCL, if all ranks name it; else as before.
  kNccl = 4,
};

/// What is read of every message on the board: one cache line, the rest of a header stays with its
/// writer where signatures agree.
struct Summary {
  /// Of the round.
  uint64_t sequence = 0;
  /// Equal where two headers agree in all that find_mismatch compares.
  uint64_t signature = 0;
  /// Elements of the array; or keys that follow.
  uint64_t count = 0;
  Registration registration;
  /// Of the array in the rank's own memory, for peers that reach it.
  uint64_t address = 0;
  /// From how many bytes on the rank would have private arrays reached in place; kNobody where it
  /// cannot reach all others. The largest of all ranks counts.
  uint64_t reach_from = kNobody;
  /// Operations announced together; more than one only where they are carried.
  uint32_t operations = 1;
  /// The data of the announced operations follows.
  bool is_carried = false;
  Notice notice = Notice::kAnnouncement;
  Site site = Site::kHost;
};
static_assert(sizeof(Summary) == kCacheLineBytes);

/// Sent as it lies in memory, between processes of one host and one build.
struct Header : Summary {
  uint64_t key = 0;
  /// Of the call; messages name by it what has no name.
  uint64_t number = 0;
  /// When the call was made, by the one clock of the host.
  int64_t submitted_ns = 0;
  std::array<int64_t, kMaxDimensions> shape{};
  double prescale = 1;
  double postscale = 1;
  double scaled_by = 1;
  /// Of the training.
  uint64_t step = 0;
  int32_t root = 0;
  uint32_t group_index = 0;
  uint32_t group_count = 1;
  Collective collective = Collective::kBarrier;
  Dtype dtype = Dtype::kUint8;
  DeviceKind device = DeviceKind::kCpu;
  ReduceOp op = ReduceOp::kSum;
  uint8_t dimensions = 0;
  bool is_named = false;
  /// The rank can work on the array, wherever it lies.
  bool is_served = true;
  /// For messages, cut to fit and zero-terminated.
  std::array<char, 77> name{};
  CodecName codec{};
  /// Algorithm that the rank prefers: the choice must fall alike on all.
  std::array<char, 24> algorithm{};
};
static_assert(std::is_trivially_copyable_v<Header>);
// Of a class with a base it need not be known; every compiler that builds this knows it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
static_assert(offsetof(Header, key) == sizeof(Summary));
#pragma GCC diagnostic pop
static_assert(sizeof(Header) == 5 * kCacheLineBytes,
              "carried data follows, aligned for vector loads");

/// `request` has passed check_request; `values` are what the host works on, if anything,
/// `signature` is signature_of() it.
Header make_header(const Request& request, ByteSpan values, uint64_t signature, uint64_t sequence,
                   const std::string& algorithm);

/// Of what ranks meet under: the name, or the number of a call without one.
uint64_t key_of(const Request& request);

/// Of what find_mismatch compares of a request. Two that differ and yet are equal, once in 2^64,
/// would reduce unlike data of equal length.
uint64_t signature_of(const Request& request);

/// What messages call the operation.
std::string label_of(const Header& header);
/// How messages about it begin.
std::string place_of(const Header& header);

/// Of a rank that has joined.
inline bool is_join(const Header& header) { return header.collective == Collective::kJoin; }

/// All but those of ranks that have joined are of one call, whatever they disagree on, or damaged.
bool is_one_call(const std::vector<Header>& headers);

/// All can begin with what they have announced: none names another site than the host, or than the
/// devices.
bool is_settled(const std::vector<Header>& headers);

/// What all ranks ask for alike and none can serve: rows of a scalar, or what wants_unbuilt().
bool is_impossible(const Header& header);

/// One sentence naming the tensor, both ranks and both values; empty when all agree. `headers`, of
/// one call, by rank of the group; `ranks` are the same ranks' numbers in the world. `reference` is
/// the rank that the others are compared with.
std::optional<std::string> find_mismatch(const std::vector<Header>& headers,
                                         const std::vector<int>& ranks, size_t reference = 0);

}  // namespace ringsync
