#include "engine/nccl_runs.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

namespace ringsync {
namespace {

/// The timeline's.
constexpr char kNcclWord[] = "nccl";

bool are_all_equal(std::span<const size_t> counts) {
  return std::ranges::adjacent_find(counts, std::ranges::not_equal_to()) == counts.end();
}

}  // namespace

NcclPut NcclRuns::run(const Problem& problem, const DevicePiece& piece, const DeviceStart& start,
                      const NcclStage& stage) const {
  switch (problem.collective) {
    case Collective::kAllreduce:
      return allreduce(piece, start, stage);
    case Collective::kReduceScatter:
      return reduce_scatter(problem, piece, start, stage);
    case Collective::kAllgather:
      return put(start, stage, [&] { allgather(problem, piece, stage); });
    case Collective::kBroadcast:
      return put(start, stage, [&] {
        stage.communicator.broadcast(piece.output, piece.output, problem.root, stage.turn);
      });
    case Collective::kAlltoall:
      return put(start, stage, [&] { alltoall(problem, piece, stage); });
    case Collective::kBarrier:
    case Collective::kSend:
    case Collective::kJoin:
      break;
  }
  __builtin_unreachable();
}

NcclPut NcclRuns::run(const DeviceBucket& bucket, const DeviceStart& start,
                      const NcclStage& stage) const {
  const size_t bytes = bucket.elements * size_bytes(bucket.dtype);
  double left = 1;
  NcclPut put{nullptr, stage.room.end(), measures_for(start)};
  put.passed = stage.room.run(
      start.after,
      [&](MutableByteSpan half, void* stream) { return pack(*device_, bucket, half, stream); },
      kNcclWord,
      [&](MutableByteSpan half) {
        left = sum(half.first(bytes), bucket.dtype, bucket.reduction, stage);
      },
      [&](MutableByteSpan half, void* stream) {
        return unpack(*device_, bucket, half, left, stream);
      },
      put.measures);
  return put;
}

template <typename Call>
NcclPut NcclRuns::put(const DeviceStart& start, const NcclStage& stage, const Call& call) const {
  for (const DeviceEvent& event : start.after) device_->wait_for(stage.turn.stream, event);
  NcclPut put{nullptr, stage.turn.stream, measures_for(start)};
  put.passed = put_stretch(*device_, kNcclWord, put.stream, put.measures, [&] {
    call();
    return true;
  });
  return put;
}

Measures NcclRuns::measures_for(const DeviceStart& start) const {
  return {start.is_measured ? device_->clock() : nullptr, {}};
}

/// In place, in some room. Returns what results are still to be multiplied by.
double NcclRuns::sum(MutableByteSpan room, Dtype dtype, const Reduction& reduction,
                     const NcclStage& stage) const {
  // Of integers there are sums alone: NCCL's average would be cut before it is scaled.
  const bool is_average = reduction.divisor == size_ && is_floating(dtype);
  stage.communicator.allreduce(room, room, dtype, is_average ? ReduceOp::kAverage : ReduceOp::kSum,
                               stage.turn);
  return is_average ? reduction.factor : scale_of(reduction);
}

/// What NCCL itself makes of it in one call, if it does.
std::optional<ReduceOp> NcclRuns::whole_op(const Reduction& reduction) const {
  if (reduction.factor != 1) return std::nullopt;
  if (reduction.divisor == 1) return ReduceOp::kSum;
  if (reduction.divisor == size_) return ReduceOp::kAverage;
  return std::nullopt;
}

/// Of any length: what has to be scaled goes through the room piece by piece.
NcclPut NcclRuns::allreduce(const DevicePiece& piece, const DeviceStart& start,
                            const NcclStage& stage) const {
  const MutableByteSpan whole = piece.output;
  if (const auto op = whole_op(piece.reduction)) {
    return put(start, stage,
               [&] { stage.communicator.allreduce(whole, whole, piece.dtype, *op, stage.turn); });
  }
  NcclPut last;
  for (size_t first = 0; first < whole.size(); first += stage.room.half_bytes()) {
    const size_t bytes = std::min(stage.room.half_bytes(), whole.size() - first);
    const MutableByteSpan part = whole.subspan(first, bytes);
    NcclPut next = sum_in_room(piece, part, part, 0, start, stage);
    std::ranges::move(next.measures.stretches, std::back_inserter(last.measures.stretches));
    next.measures.stretches.swap(last.measures.stretches);
    last = std::move(next);
  }
  return last;
}

/// Parts of unlike length are cut out of the sum of all, for which there is room.
NcclPut NcclRuns::reduce_scatter(const Problem& problem, const DevicePiece& piece,
                                 const DeviceStart& start, const NcclStage& stage) const {
  const auto op = whole_op(piece.reduction);
  if (op && are_all_equal(problem.parts)) {
    return put(start, stage, [&] {
      stage.communicator.reduce_scatter(piece.input, piece.output, piece.dtype, *op, stage.turn);
    });
  }
  size_t before = 0;
  for (int i = 0; i < rank_; ++i) before += problem.parts[static_cast<size_t>(i)];
  return sum_in_room(piece, piece.input, piece.output, before * size_bytes(piece.dtype), start,
                     stage);
}

/// What of the sum of `input` comes after so many bytes goes to `output`, scaled.
NcclPut NcclRuns::sum_in_room(const DevicePiece& whole, ByteSpan input, MutableByteSpan output,
                              size_t skipped_bytes, const DeviceStart& start,
                              const NcclStage& stage) const {
  double left = 1;
  NcclPut put{nullptr, stage.room.end(), measures_for(start)};
  put.passed = stage.room.run(
      start.after,
      [&](MutableByteSpan half, void* stream) {
        copy(*device_, half.data(), input, stream, "an array cannot be packed");
        return true;
      },
      kNcclWord,
      [&](MutableByteSpan half) {
        left = sum(half.first(input.size()), whole.dtype, whole.reduction, stage);
      },
      [&](MutableByteSpan half, void* stream) {
        if (output.empty()) return false;
        unpack_scaled(output, half.data() + skipped_bytes, whole.dtype, left, stream);
        return true;
      },
      put.measures);
  return put;
}

/// NCCL's own is of equal lengths.
void NcclRuns::allgather(const Problem& problem, const DevicePiece& piece,
                         const NcclStage& stage) const {
  if (are_all_equal(problem.counts)) {
    stage.communicator.allgather(piece.input, piece.output, stage.turn);
    return;
  }
  const std::vector<ByteSpan> sent(static_cast<size_t>(size_), piece.input);
  std::vector<MutableByteSpan> taken;
  size_t first = 0;
  for (const size_t count : problem.counts) {
    const size_t bytes = count * size_bytes(piece.dtype);
    taken.push_back(piece.output.subspan(first, bytes));
    first += bytes;
  }
  stage.communicator.alltoall(sent, taken, stage.turn);
}

void NcclRuns::alltoall(const Problem& problem, const DevicePiece& piece,
                        const NcclStage& stage) const {
  std::vector<ByteSpan> sent;
  std::vector<MutableByteSpan> taken;
  size_t sent_before = 0;
  size_t taken_before = 0;
  for (int peer = 0; peer < size_; ++peer) {
    const size_t out = problem.part(rank_, peer) * size_bytes(piece.dtype);
    const size_t in = problem.part(peer, rank_) * size_bytes(piece.dtype);
    sent.push_back(piece.input.subspan(sent_before, out));
    taken.push_back(piece.output.subspan(taken_before, in));
    sent_before += out;
    taken_before += in;
  }
  stage.communicator.alltoall(sent, taken, stage.turn);
}

void NcclRuns::unpack_scaled(MutableByteSpan to, std::byte* from, Dtype type, double scale,
                             void* stream) const {
  const size_t elements = to.size() / size_bytes(type);
  const RsSegment whole{to.data(), 0, static_cast<uint32_t>(elements)};
  const auto dtype = static_cast<uint32_t>(type);
  const RsMove move{&whole, 1, 0, from, elements, dtype, dtype, scale, {}};
  device_->require(device_->api().unpack(&move, stream), "results cannot be unpacked");
}

}  // namespace ringsync
