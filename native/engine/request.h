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

/// One collective call of one rank. The spans stay valid until its handle is done.
struct Request {
  Collective collective = Collective::kBarrier;
  /// Key under which ranks meet, unique among what is in flight; given by the engine, in order of
  /// submission, unless the caller chose it.
  std::string name;
  bool is_named = false;
  Dtype dtype = Dtype::kUint8;
  ReduceOp op = ReduceOp::kSum;
  int root = 0;
  /// Each rank's values are multiplied by the first before, the result by the second after.
  double prescale = 1;
  double postscale = 1;
  std::vector<int64_t> shape;
  /// For alltoall: rows for each rank, in rank order.
  std::vector<uint64_t> splits;
  /// The caller's array; allreduce and broadcast work in place, the others only read it.
  MutableByteSpan data;
  Deadline deadline = kNever;
};

}  // namespace ringsync
