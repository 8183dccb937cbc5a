#include "engine/nccl_peers.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"

namespace ringsync {
namespace {

/// NCCL takes a call in within tens of microseconds; only a device that stands still takes longer.
constexpr auto kTakenIn = std::chrono::seconds(10);

NcclCommunicator::Turn turn_on(void* stream) { return {stream, Clock::now() + kTakenIn}; }

/// Ranks may share a device, where a variable of NCCL's says so.
constexpr int kSharesDevices = nccl::version_of(2, 30, 0);

bool share_devices(std::span<const NcclWord* const> words) {
  for (size_t i = 0; i < words.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {
      if (words[i]->device == words[k]->device) return true;
    }
  }
  return false;
}

bool are_all_equal(std::span<const size_t> counts) {
  return std::ranges::adjacent_find(counts, std::ranges::not_equal_to()) == counts.end();
}

}  // namespace

NcclPeers::NcclPeers(std::shared_ptr<Device> device, const NcclChoice& choice,
                     const GroupView& group, std::shared_ptr<NcclWord> own)
    : device_(device),
      rank_(group.rank),
      size_(group.size),
      join_(std::move(device), choice, {.rank = group.rank, .size = group.size},
            [own = std::move(own)](const NcclJoin::Found& found) {
              own->found = found;
              own->is_told.store(1, std::memory_order_release);
            }) {}

void NcclPeers::look_at(std::span<const NcclWord* const> words) {
  if (is_decided_) return;
  const auto has_told = [](const NcclWord* word) {
    return word->is_told.load(std::memory_order_acquire) != 0;
  };
  if (!std::ranges::all_of(words, has_told)) return;
  is_decided_ = true;
  const int version = words[0]->found.version;
  for (size_t i = 0; i < words.size(); ++i) {
    const int other = words[i]->found.version;
    if (other == version) continue;
    const auto name = [](int one) {
      return one == 0 ? "no NCCL" : "NCCL " + nccl_version_text(one);
    };
    if (rank_ == 0) {
      failure_ = "rank " + std::to_string(i) + " of the group has " + name(other) +
                 ", rank 0 has " + name(version) + ". Install one version for all.";
    }
    return;
  }
  if (version == 0) return;
  // It would refuse, and ranks that share a device know that they do.
  if (version < kSharesDevices && share_devices(words)) return;
  join_.join(words[0]->found.id);
}

std::optional<std::string> NcclPeers::take_failure() {
  if (failure_) return std::exchange(failure_, std::nullopt);
  return join_.take_failure();
}

void NcclPeers::run(const Problem& problem, const Call& call, void* stream) {
  switch (problem.collective) {
    case Collective::kAllreduce:
      return allreduce(call, stream);
    case Collective::kReduceScatter:
      return reduce_scatter(problem, call, stream);
    case Collective::kAllgather:
      return allgather(problem, call, stream);
    case Collective::kBroadcast:
      return join_.communicator()->broadcast(call.output, call.output, problem.root,
                                             turn_on(stream));
    case Collective::kAlltoall:
      return alltoall(problem, call, stream);
    case Collective::kBarrier:
    case Collective::kSend:
    case Collective::kJoin:
      break;
  }
  __builtin_unreachable();
}

double NcclPeers::sum(MutableByteSpan room, Dtype dtype, const Reduction& reduction, void* stream) {
  // Of integers there are sums alone: NCCL's average would be cut before it is scaled.
  const bool is_average = reduction.divisor == size_ && is_floating(dtype);
  join_.communicator()->allreduce(
      room, room, dtype, is_average ? ReduceOp::kAverage : ReduceOp::kSum, turn_on(stream));
  return is_average ? reduction.factor : scale_of(reduction);
}

void NcclPeers::abort() noexcept {
  if (NcclCommunicator* const communicator = join_.communicator()) communicator->abort();
}

/// What NCCL itself makes of it in one call, if it does.
std::optional<ReduceOp> NcclPeers::whole_op(const Reduction& reduction) const {
  if (reduction.factor != 1) return std::nullopt;
  if (reduction.divisor == 1) return ReduceOp::kSum;
  if (reduction.divisor == size_) return ReduceOp::kAverage;
  return std::nullopt;
}

/// Of any length: what has to be scaled goes through the room piece by piece.
void NcclPeers::allreduce(const Call& call, void* stream) {
  if (const auto op = whole_op(call.reduction)) {
    join_.communicator()->allreduce(call.output, call.output, call.dtype, *op, turn_on(stream));
    return;
  }
  for (size_t first = 0; first < call.output.size(); first += call.room.size()) {
    const size_t bytes = std::min(call.room.size(), call.output.size() - first);
    const MutableByteSpan piece = call.output.subspan(first, bytes);
    device_->require(device_->api().copy(call.room.data(), piece.data(), bytes, stream),
                     "an array cannot be packed");
    const double left = sum(call.room.first(bytes), call.dtype, call.reduction, stream);
    unpack(piece, call.room.data(), call.dtype, left, stream);
  }
}

/// Parts of unlike length are cut out of the sum of all, for which there is room.
void NcclPeers::reduce_scatter(const Problem& problem, const Call& call, void* stream) {
  const auto op = whole_op(call.reduction);
  if (op && are_all_equal(problem.parts)) {
    join_.communicator()->reduce_scatter(call.input, call.output, call.dtype, *op, turn_on(stream));
    return;
  }
  device_->require(
      device_->api().copy(call.room.data(), call.input.data(), call.input.size(), stream),
      "an array cannot be packed");
  const double left = sum(call.room.first(call.input.size()), call.dtype, call.reduction, stream);
  size_t before = 0;
  for (int i = 0; i < rank_; ++i) before += problem.parts[static_cast<size_t>(i)];
  if (call.output.empty()) return;
  unpack(call.output, call.room.data() + before * size_bytes(call.dtype), call.dtype, left, stream);
}

/// NCCL's own is of equal lengths.
void NcclPeers::allgather(const Problem& problem, const Call& call, void* stream) {
  if (are_all_equal(problem.counts)) {
    join_.communicator()->allgather(call.input, call.output, turn_on(stream));
    return;
  }
  const std::vector<ByteSpan> sent(static_cast<size_t>(size_), call.input);
  std::vector<MutableByteSpan> taken;
  size_t first = 0;
  for (const size_t count : problem.counts) {
    const size_t bytes = count * size_bytes(call.dtype);
    taken.push_back(call.output.subspan(first, bytes));
    first += bytes;
  }
  join_.communicator()->alltoall(sent, taken, turn_on(stream));
}

void NcclPeers::alltoall(const Problem& problem, const Call& call, void* stream) {
  std::vector<ByteSpan> sent;
  std::vector<MutableByteSpan> taken;
  size_t sent_before = 0;
  size_t taken_before = 0;
  for (int peer = 0; peer < size_; ++peer) {
    const size_t out = problem.part(rank_, peer) * size_bytes(call.dtype);
    const size_t in = problem.part(peer, rank_) * size_bytes(call.dtype);
    sent.push_back(call.input.subspan(sent_before, out));
    taken.push_back(call.output.subspan(taken_before, in));
    sent_before += out;
    taken_before += in;
  }
  join_.communicator()->alltoall(sent, taken, turn_on(stream));
}

void NcclPeers::unpack(MutableByteSpan to, std::byte* from, Dtype type, double scale,
                       void* stream) const {
  const size_t elements = to.size() / size_bytes(type);
  const RsSegment whole{to.data(), 0, static_cast<uint32_t>(elements)};
  const auto dtype = static_cast<uint32_t>(type);
  const RsMove move{&whole, 1, 0, from, elements, dtype, dtype, scale, {}};
  device_->require(device_->api().unpack(&move, stream), "results cannot be unpacked");
}

}  // namespace ringsync
