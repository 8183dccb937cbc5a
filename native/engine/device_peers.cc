#include "engine/device_peers.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "base/error.h"

namespace ringsync {
namespace {

/// Each rank's flags: a word for each other rank, no two in one line that a device writes at once,
/// and one that silences its own signals.
constexpr size_t kFlagStride = 128;
constexpr size_t kMostRanks = kRsMostPeers;
constexpr size_t kSilenceOffset = kMostRanks * kFlagStride;
constexpr size_t kFlagsBytes = kSilenceOffset + kFlagStride;

/// Of an arena: longer pieces gain nothing, and a device has room for many groups'. 64 MiB of 64
/// GB.
constexpr size_t kMostArenaBytes = 64 * 1024 * 1024;
constexpr size_t kFewestArenaBytes = 4 * 1024 * 1024;
constexpr size_t kArenaShare = 1024;

/// How long a rank that gives up waits for its own stream, and how long before it looks again: a
/// peer that is behind may write its lower count over the flags.
constexpr auto kRunOut = std::chrono::seconds(1);
constexpr auto kBetween = std::chrono::milliseconds(20);

/// Of more than the kernels know nothing can be summed.
bool is_summed_by_kernels(Dtype dtype) {
  constexpr std::array kKnown{Dtype::kInt32,   Dtype::kInt64,   Dtype::kFloat32,
                              Dtype::kFloat64, Dtype::kFloat16, Dtype::kBfloat16};
  return std::ranges::count(kKnown, dtype) > 0;
}

bool is_integer(Dtype dtype) { return dtype == Dtype::kInt32 || dtype == Dtype::kInt64; }

double scale_of(const Reduction& reduction) {
  return reduction.factor / static_cast<double>(reduction.divisor);
}

}  // namespace

bool suits_devices(const Request& request, int size) {
  if (size < 2 || static_cast<size_t>(size) > kMostRanks || request.data.empty()) return false;
  switch (request.collective) {
    case Collective::kAllreduce:
    case Collective::kReduceScatter: {
      const Reduction reduction = reduction_of(request, size);
      const bool is_sum = reduction.op == ReduceOp::kSum || reduction.op == ReduceOp::kAverage;
      return is_sum && is_summed_by_kernels(request.dtype) &&
             (!is_integer(request.dtype) || scale_of(reduction) == 1);
    }
    case Collective::kAllgather:
    case Collective::kBroadcast:
    case Collective::kAlltoall:
      return true;
    case Collective::kBarrier:
    case Collective::kSend:
    case Collective::kJoin:
      return false;
  }
  __builtin_unreachable();
}

/// In registered memory of the host. Addresses are for ranks of the same process.
struct DevicePeers::Notice {
  int64_t pid;
  std::byte* arena;
  std::byte* flags;
  uint64_t arena_bytes;
  RsMemoryHandle arena_handle;
  RsMemoryHandle flags_handle;
};

DevicePeers::DevicePeers(std::shared_ptr<Device> device, const GroupView& group,
                         Transport& transport)
    : device_(std::move(device)),
      group_(group),
      api_(device_->api()),
      notice_(transport.allocate(sizeof(Notice))),
      registration_(transport.locate({notice_.get(), sizeof(Notice)})),
      peers_(static_cast<size_t>(group.size)) {
  const Device::InUse in_use(*device_);
  RsDeviceFacts facts{};
  device_->require(api_.look_at_device(device_->ordinal(), &facts), "it cannot be looked at");
  arena_bytes_ = std::clamp(facts.memory_bytes / kArenaShare, kFewestArenaBytes, kMostArenaBytes);
  void* memory = nullptr;
  device_->require(api_.allocate(arena_bytes_, &memory), "no memory for a fusion buffer");
  arena_ = static_cast<std::byte*>(memory);
  device_->require(api_.allocate(kFlagsBytes, &memory), "no memory for flags");
  flags_ = static_cast<std::byte*>(memory);
  device_->require(api_.create_stream(1, &stream_), "there is no stream");
  device_->require(api_.create_stream(1, &rescue_), "there is no stream");
  device_->require(api_.fill(flags_, 0, kFlagsBytes, stream_), "flags cannot be written");
  device_->require(api_.synchronize_stream(stream_), "flags cannot be written");
  Notice notice{::getpid(), arena_, flags_, arena_bytes_, {}, {}};
  device_->require(api_.export_memory(arena_, &notice.arena_handle), "memory cannot be shared");
  device_->require(api_.export_memory(flags_, &notice.flags_handle), "memory cannot be shared");
  std::memcpy(notice_.get(), &notice, sizeof(notice));
}

DevicePeers::~DevicePeers() {
  // In a forked child there is no device; and a peer may still be at work in what was given up.
  if (!device_->is_here() || has_given_up_) return;
  const Device::InUse in_use(*device_);
  if (last_ && !device_->settle(*last_)) return;
  for (const Peer& peer : peers_) {
    if (!peer.is_opened) continue;
    api_.close_memory(peer.arena);
    api_.close_memory(peer.flags);
  }
  if (stream_ != nullptr) api_.destroy_stream(stream_);
  if (rescue_ != nullptr) api_.destroy_stream(rescue_);
  // Whoever has it open keeps it until it is closed there.
  if (arena_ != nullptr) api_.release(arena_);
  if (flags_ != nullptr) api_.release(flags_);
}

bool DevicePeers::open(const std::vector<Header>& headers) {
  const Device::InUse in_use(*device_);
  piece_bytes_ = arena_bytes_;
  for (size_t i = 0; i < peers_.size(); ++i) {
    if (static_cast<int>(i) == group_.rank) {
      peers_[i] = {arena_, flags_, false};
      continue;
    }
    const Registration place = headers[i].registration;
    const MutableByteSpan window = group_.connections[i]->memory().window(place.id);
    if (place.offset > window.size() || sizeof(Notice) > window.size() - place.offset) return false;
    Notice notice;
    std::memcpy(&notice, window.data() + place.offset, sizeof(notice));
    if (!open_one(notice, peers_[i])) return false;
    piece_bytes_ = std::min<size_t>(piece_bytes_, notice.arena_bytes);
  }
  return true;
}

bool DevicePeers::open_one(const Notice& notice, Peer& peer) {
  if (notice.pid == ::getpid()) {
    RsDeviceFacts facts{};
    // To give memory back would wait for streams, one of which may wait for this very rank.
    if (api_.look_at_device(device_->ordinal(), &facts) != kRsOk || facts.waits_on_release != 0) {
      return false;
    }
    peer = {notice.arena, notice.flags, false};
    return true;
  }
  void* memory = nullptr;
  if (api_.open_memory(&notice.arena_handle, &memory) != kRsOk) return false;
  peer.arena = static_cast<std::byte*>(memory);
  if (api_.open_memory(&notice.flags_handle, &memory) != kRsOk) {
    api_.close_memory(peer.arena);
    return false;
  }
  peer.flags = static_cast<std::byte*>(memory);
  peer.is_opened = true;
  return true;
}

void DevicePeers::wait_for(const Mark& mark) {
  device_->require(api_.wait_event(stream_, mark.get()), "its stream does not wait");
}

void DevicePeers::run(const Route& route, const Piece& piece) {
  const Device::InUse in_use(*device_);
  if (!piece.input.empty()) {
    device_->require(api_.copy(arena_, piece.input.data(), piece.input.size(), stream_),
                     "an array cannot be packed");
  }
  exchange(route.neighbours);
  for (const Phase& phase : route.phases) {
    for (const RoutedStep& step : phase.steps) apply(step, piece);
    exchange(route.neighbours);
  }
  if (piece.is_output_apart || piece.output.empty()) return;
  device_->require(api_.copy(piece.output.data(), arena_, piece.output.size(), stream_),
                   "a result cannot be unpacked");
}

std::shared_ptr<const Transfer> DevicePeers::end() {
  last_ = device_->watch(nullptr, stream_);
  return last_;
}

/// Tells the others that this rank has come here, and waits for them.
void DevicePeers::exchange(const std::vector<int>& neighbours) {
  ++value_;
  std::vector<uint32_t*> words;
  for (const int rank : neighbours) {
    words.push_back(flag(peers_[static_cast<size_t>(rank)].flags, group_.rank));
  }
  const auto* const silence = reinterpret_cast<const uint32_t*>(flags_ + kSilenceOffset);
  for (size_t first = 0; first < words.size(); first += kRsMostFlags) {
    const auto count = static_cast<uint32_t>(std::min<size_t>(kRsMostFlags, words.size() - first));
    device_->require(api_.signal(words.data() + first, count, value_, silence, stream_),
                     "peers cannot be told");
  }
  for (const int rank : neighbours) {
    device_->require(api_.wait_flag(flag(flags_, rank), value_, stream_),
                     "peers cannot be waited for");
  }
}

void DevicePeers::apply(const Step& step, const Piece& piece) {
  const size_t bytes = step.read.count * size_bytes(piece.dtype);
  std::byte* const target = place_of(group_.rank, step.write, piece);
  if (step.apply == Apply::kCopy) {
    const std::byte* const source = place_of(step.from[0], step.read, piece);
    device_->require(api_.copy(target, source, bytes, stream_), "a peer's array cannot be copied");
  } else {
    RsSum sum{};
    sum.destination = target;
    sum.source_count = static_cast<uint32_t>(step.from.size());
    for (size_t i = 0; i < step.from.size(); ++i) {
      sum.sources[i] = place_of(step.from[i], step.read, piece);
    }
    sum.dtype = static_cast<uint32_t>(piece.dtype);
    sum.count = step.read.count;
    sum.scale = step.apply == Apply::kReduceLast ? scale_of(piece.reduction) : 1;
    device_->require(api_.sum_peers(&sum, stream_), "peers' arrays cannot be summed");
  }
  for (const int rank : step.to) {
    if (rank == group_.rank) continue;
    device_->require(api_.copy(place_of(rank, step.write, piece), target, bytes, stream_),
                     "a sum cannot be given to a peer");
  }
}

std::byte* DevicePeers::place_of(int rank, const Range& range, const Piece& piece) const {
  const size_t offset = range.offset * size_bytes(piece.dtype);
  const bool is_apart = piece.is_output_apart && range.buffer == Buffer::kOutput;
  return (is_apart ? piece.output.data() : peers_[static_cast<size_t>(rank)].arena) + offset;
}

uint32_t* DevicePeers::flag(std::byte* flags, int of) const {
  return reinterpret_cast<uint32_t*>(flags + static_cast<size_t>(of) * kFlagStride);
}

void DevicePeers::give_up() noexcept {
  if (has_given_up_ || !last_ || last_->is_done() || !device_->is_here()) return;
  has_given_up_ = true;
  const Device::InUse in_use(*device_);
  uint32_t* const silence = reinterpret_cast<uint32_t*>(flags_ + kSilenceOffset);
  api_.signal(&silence, 1, 1, nullptr, rescue_);
  const Deadline deadline = Clock::now() + kRunOut;
  do {
    for (int rank = 0; rank < group_.size; ++rank) {
      uint32_t* const word = flag(flags_, rank);
      api_.signal(&word, 1, value_, nullptr, rescue_);
    }
  } while (!device_->wait(*last_, Clock::now() + kBetween) && Clock::now() < deadline);
}

}  // namespace ringsync
