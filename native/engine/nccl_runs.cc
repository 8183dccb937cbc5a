#include "engine/nccl_runs.h"

#include <algorithm>
#include <vector>

namespace ringsync {
namespace {

bool are_all_equal(std::span<const size_t> counts) {
  return std::ranges::adjacent_find(counts, std::ranges::not_equal_to()) == counts.end();
}

}  // namespace

DeviceEvent NcclRuns::run(const Problem& problem, const DevicePiece& piece,
                          const NcclThread::Stage& stage) const {
  switch (problem.collective) {
    case Collective::kAllreduce:
      allreduce(piece, stage);
      break;
    case Collective::kReduceScatter:
      reduce_scatter(problem, piece, stage);
      break;
    case Collective::kAllgather:
      allgather(problem, piece, stage);
      break;
    case Collective::kBroadcast:
      stage.communicator.broadcast(piece.output, piece.output, problem.root, stage.turn);
      break;
    case Collective::kAlltoall:
      alltoall(problem, piece, stage);
      break;
    case Collective::kBarrier:
    case Collective::kSend:
    case Collective::kJoin:
      __builtin_unreachable();
  }
  return device_->record(stage.turn.stream);
}

DeviceEvent NcclRuns::run(const DeviceBucket& bucket, const NcclThread::Stage& stage) const {
  DeviceEvent passed;
  run_packed(*device_, bucket, stage.room.data(), stage.turn.stream, [&] {
    const size_t bytes = bucket.elements * size_bytes(bucket.dtype);
    const double left = sum(stage.room.first(bytes), bucket.dtype, bucket.reduction, stage);
    passed = device_->record(stage.turn.stream);
    return left;
  });
  return passed;
}

/// In place, in some room. Returns what results are still to be multiplied by.
double NcclRuns::sum(MutableByteSpan room, Dtype dtype, const Reduction& reduction,
                     const NcclThread::Stage& stage) const {
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
void NcclRuns::allreduce(const DevicePiece& piece, const NcclThread::Stage& stage) const {
  const MutableByteSpan whole = piece.output;
  if (const auto op = whole_op(piece.reduction)) {
    stage.communicator.allreduce(whole, whole, piece.dtype, *op, stage.turn);
    return;
  }
  for (size_t first = 0; first < whole.size(); first += stage.room.size()) {
    const size_t bytes = std::min(stage.room.size(), whole.size() - first);
    const MutableByteSpan part = whole.subspan(first, bytes);
    device_->require(device_->api().copy(stage.room.data(), part.data(), bytes, stage.turn.stream),
                     "an array cannot be packed");
    const double left = sum(stage.room.first(bytes), piece.dtype, piece.reduction, stage);
    unpack(part, stage.room.data(), piece.dtype, left, stage.turn.stream);
  }
}

/// Parts of unlike length are cut out of the sum of all, for which there is room.
void NcclRuns::reduce_scatter(const Problem& problem, const DevicePiece& piece,
                              const NcclThread::Stage& stage) const {
  const auto op = whole_op(piece.reduction);
  if (op && are_all_equal(problem.parts)) {
    stage.communicator.reduce_scatter(piece.input, piece.output, piece.dtype, *op, stage.turn);
    return;
  }
  const size_t bytes = piece.input.size();
  device_->require(
      device_->api().copy(stage.room.data(), piece.input.data(), bytes, stage.turn.stream),
      "an array cannot be packed");
  const double left = sum(stage.room.first(bytes), piece.dtype, piece.reduction, stage);
  size_t before = 0;
  for (int i = 0; i < rank_; ++i) before += problem.parts[static_cast<size_t>(i)];
  if (piece.output.empty()) return;
  unpack(piece.output, stage.room.data() + before * size_bytes(piece.dtype), piece.dtype, left,
         stage.turn.stream);
}

/// NCCL's own is of equal lengths.
void NcclRuns::allgather(const Problem& problem, const DevicePiece& piece,
                         const NcclThread::Stage& stage) const {
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
                        const NcclThread::Stage& stage) const {
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

void NcclRuns::unpack(MutableByteSpan to, std::byte* from, Dtype type, double scale,
                      void* stream) const {
  const size_t elements = to.size() / size_bytes(type);
  const RsSegment whole{to.data(), 0, static_cast<uint32_t>(elements)};
  const auto dtype = static_cast<uint32_t>(type);
  const RsMove move{&whole, 1, 0, from, elements, dtype, dtype, scale, {}};
  device_->require(device_->api().unpack(&move, stream), "results cannot be unpacked");
}

}  // namespace ringsync
