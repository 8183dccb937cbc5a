#pragma once

// What a rank asks for.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/device_kind.h"
#include "base/dtype.h"
#include "base/shape.h"
#include "base/span.h"
#include "collective/schedule.h"
#include "device/device.h"
#include "device/reduction.h"

namespace ringsync {

inline constexpr int kAllRanks = -1;

/// Number of the group of all ranks, on every rank.
inline constexpr size_t kWorld = 0;

/// Zero-terminated. In place: a string takes 50 ns on its way, of the 2 us of a small allreduce.
using CodecName = std::array<char, 16>;

/// What is known of an array on a device beside its kind.
struct Place {
  /// Whose work so far makes its values; null for the device's default stream.
  void* stream = nullptr;
  /// All below is the engine's: the device that it lies on, which outlives what comes from it.
  std::shared_ptr<Device> device;
  /// Where its stream had come to when the call was made.
  DeviceEvent ready;
  /// Without a device: why there is no way to it.
  std::string lack;
};

/// One collective call of one rank. The spans stay valid until its handle is done.
struct Request {
  Collective collective = Collective::kBarrier;
  /// Key under which ranks meet, unique among what the same ranks have in flight. Without a name
  /// the number is the key: such calls of the same ranks are counted as the engine gets them.
  std::optional<std::string> name;
  uint64_t number = 0;
  Dtype dtype = Dtype::kUint8;
  DeviceKind device = DeviceKind::kCpu;
  /// Of an array on a device. Where there is none, or without a device in it, nothing is known of
  /// it here: no bytes, no data.
  std::shared_ptr<Place> place;
  ReduceOp op = ReduceOp::kSum;
  /// Number of the group whose ranks take part, among those of the engine; of a send the engine
  /// gives it.
  size_t group = kWorld;
  /// For broadcast and send the rank that gives; in the engine a rank of the world, in a group a
  /// rank of the group.
  int root = 0;
  /// The other end of a send, on both its ends; else all ranks of the group take part.
  int peer = kAllRanks;
  /// Of a send, this is the end that receives.
  bool is_receiver = false;
  /// Which of how many requests it is that were submitted in one stroke. For a stroke of none there
  /// is one of no data, so that all ranks make as many calls.
  uint32_t group_index = 0;
  uint32_t group_count = 1;
  /// Of all their arrays together.
  size_t group_bytes = 0;
  /// Each rank's values are multiplied by the first before, the result by the second after.
  double prescale = 1;
  double postscale = 1;
  /// What the caller has multiplied them by itself: ranks compare it with the rest of prescale.
  double scaled_by = 1;
  /// Of the training that it is part of, as its caller counts: ranks compare it.
  uint64_t step = 0;
  /// Form on the wire; without a name: as it lies in memory.
  CodecName codec{};
  Shape shape;
  /// For alltoall: rows for each rank, in rank order.
  std::vector<uint64_t> splits;
  /// The caller's array; allreduce, broadcast and the receiving end of a send write into it, the
  /// others only read it.
  MutableByteSpan data;
  int64_t submitted_ns = 0;  // when the call was made
  Deadline deadline = kNever;
};

/// Every number may come through the door; not every one is a reduction that is made here.
bool is_built(ReduceOp op);
/// A collective may bear it.
bool has_meaning(ReduceOp op, Collective collective);

std::string_view name_of(ReduceOp op);

/// Where its values can be worked on: on the host, or on a device that the engine has.
bool is_served(const Request& request);

/// What no rank can serve yet although all may ask for it. Ranks find that out together, because
/// one that does cannot know whether the others do.
bool wants_unbuilt(const Request& request);
/// Why not, and what to do instead. Only where it does.
std::string unbuilt_text(const Request& request);

/// The caller's array is where the result comes.
bool is_written(const Request& request);

/// What its caller knows it as: a send is a recv at its other end.
std::string call_of(const Request& request);
/// The same of what several ranks have submitted. One array alone is no group.
std::string call_of(Collective collective, uint32_t group_count);
/// What messages and the timeline call the request.
std::string label_of(const Request& request);
/// How messages about it begin.
std::string place_of(const Request& request);
/// The same where the caller chose no name: operations of one call differ by their place in it.
std::string unnamed_label(uint64_t number, uint32_t group_index, uint32_t group_count);

/// Both scales as one factor of the result, so that they cost no pass of their own.
Reduction reduction_of(const Request& request, int size);

/// Throws ConfigError for a request that no rank could serve, whatever the others ask for.
/// `ranks` take part.
void check_request(const Request& request, const std::vector<int>& ranks);

/// Throws ConfigError for a send of rank `rank` of a world of `size` to or from nobody.
void check_peer(const Request& request, int rank, int size);

/// Throws ConfigError when two of the requests, submitted together, share memory that they write
/// to: what one leaves there would be the other's input or not, as it happens.
void check_disjoint(const std::vector<Request>& requests);

}  // namespace ringsync
