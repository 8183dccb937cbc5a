#pragma once

// What a rank asks for.

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/dtype.h"
#include "base/span.h"
#include "collective/schedule.h"
#include "device/reduction.h"

namespace ringsync {

inline constexpr int kAllRanks = -1;

/// One collective call of one rank. The spans stay valid until its handle is done.
struct Request {
  Collective collective = Collective::kBarrier;
  /// Key under which ranks meet, unique among what the same ranks have in flight; given by the
  /// engine, in order of submission, unless the caller chose it.
  std::string name;
  bool is_named = false;
  Dtype dtype = Dtype::kUint8;
  ReduceOp op = ReduceOp::kSum;
  /// For broadcast and send the rank that gives; in the engine a rank of the world, in a group a
  /// rank of the group.
  int root = 0;
  /// The other end of a send, on both its ends; else all ranks take part.
  int peer = kAllRanks;
  /// Each rank's values are multiplied by the first before, the result by the second after.
  double prescale = 1;
  double postscale = 1;
  std::vector<int64_t> shape;
  /// For alltoall: rows for each rank, in rank order.
  std::vector<uint64_t> splits;
  /// The caller's array; allreduce, broadcast and the receiving end of a send write into it, the
  /// others only read it.
  MutableByteSpan data;
  Deadline deadline = kNever;
};

}  // namespace ringsync
