#include "engine/device_peers.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/forget.h"
#include "engine/carried.h"

namespace ringsync {
namespace {

/// Each rank's flags: a word for each other rank, no two in one line that a device writes at once,
/// and one that silences its own signals.
constexpr size_t kFlagStride = 128;
constexpr size_t kSilenceOffset = kRsMostPeers * kFlagStride;
constexpr size_t kFlagsBytes = kSilenceOffset + kFlagStride;

/// Of a fusion buffer: 64 MiB on a device of 64 GB or more, so that a hundred groups take a tenth
/// of it, and each piece is long against the launches that it takes.
constexpr size_t kMostFusionBytes = 64 * 1024 * 1024;
constexpr size_t kFewestFusionBytes = 4 * 1024 * 1024;
constexpr size_t kFusionShare = 1024;

/// For the first words to a stream of its own: microseconds, unless the device stands still.
constexpr auto kSetUp = std::chrono::seconds(5);

/// How long a rank that gives up waits before it writes its flags again: a peer that is behind may
/// have written its lower count over them.
constexpr auto kBetween = std::chrono::milliseconds(20);

/// Those for which plug-ins have sums.
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
  if (size < 2 || static_cast<size_t>(size) > kRsMostPeers || request.data.empty()) return false;
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
struct DevicePeers::Share {
  int64_t pid;
  std::byte* fusion;
  std::byte* flags;
  uint64_t fusion_bytes;
  RsMemoryHandle fusion_handle;
  RsMemoryHandle flags_handle;
};

DevicePeers::DevicePeers(std::shared_ptr<Device> device, const GroupView& group,
                         Transport& transport)
    : device_(std::move(device)),
      group_(group),
      api_(device_->api()),
      share_(transport.allocate(sizeof(Share))),
      registration_(transport.locate({share_.get(), sizeof(Share)})),
      peers_(static_cast<size_t>(group.size)) {
  const Device::InUse in_use(*device_);
  RsDeviceFacts facts{};
  device_->require(api_.look_at_device(device_->ordinal(), &facts), "it cannot be looked at");
  // To give memory back would wait for streams, one of which may wait for this very rank.
  has_shareable_threads_ = facts.waits_on_release == 0;
  if (facts.can_export_memory == 0) {
    throw Error("[device] its memory cannot be shared between processes. Nothing is to be done.");
  }
  piece_bytes_ =
      std::clamp(facts.memory_bytes / kFusionShare, kFewestFusionBytes, kMostFusionBytes) /
      kBucketAlignment * kBucketAlignment;
  fusion_ = device_->lend_shareable(piece_bytes_);
  flags_ = device_->lend_shareable(kFlagsBytes);
  stream_ = device_->make_stream();
  rescue_ = device_->make_stream();
  device_->require(api_.fill(flags_.get(), 0, kFlagsBytes, stream_.get()),
                   "flags cannot be written");
  // Not every driver can wait for one.
  device_->require(api_.wait_flag(flag(flags_.get(), 0), 0, stream_.get()),
                   "flags cannot be waited for");
  begun_ = device_->watch(stream_.get());
  set_up_by_ = Clock::now() + kSetUp;
  Share share{::getpid(), fusion_.get(), flags_.get(), piece_bytes_, {}, {}};
  device_->require(api_.export_memory(fusion_.get(), &share.fusion_handle),
                   "its memory cannot be shared");
  device_->require(api_.export_memory(flags_.get(), &share.flags_handle),
                   "its memory cannot be shared");
  std::memcpy(share_.get(), &share, sizeof(share));
}

bool DevicePeers::is_set_up() {
  if (!begun_) return true;
  if (!begun_->is_done()) {
    if (Clock::now() < set_up_by_) return false;
    throw Error("[device] " + device_->name() + ": flags were not written for " +
                std::to_string(kSetUp.count()) + " s, as if it stood still. See what works on it.");
  }
  device_->require(begun_->status(), "flags cannot be written");
  begun_.reset();
  return true;
}

DevicePeers::~DevicePeers() {
  if (is_begun_ || (begun_ && !begun_->is_done()) || (last_ && !last_->is_done())) {
    forget_all();
    return;
  }
  if (!device_->is_here()) return;
  for (const Peer& peer : peers_) {
    if (!peer.is_opened) continue;
    api_.close_memory(peer.fusion);
    api_.close_memory(peer.flags);
  }
}

/// To give any of it back would wait for the device.
void DevicePeers::forget_all() {
  forget(std::move(stream_));
  forget(std::move(rescue_));
  forget(std::move(fusion_));
  forget(std::move(flags_));
}

bool DevicePeers::open(const std::vector<Header>& headers) {
  const Device::InUse in_use(*device_);
  for (size_t i = 0; i < peers_.size(); ++i) {
    if (static_cast<int>(i) == group_.rank) {
      peers_[i] = {fusion_.get(), flags_.get(), false};
      continue;
    }
    const Registration place = headers[i].registration;
    const MutableByteSpan window = group_.connections[i]->memory().window(place.id);
    if (place.offset > window.size() || sizeof(Share) > window.size() - place.offset) return false;
    Share share;
    std::memcpy(&share, window.data() + place.offset, sizeof(share));
    const bool is_sound = share.fusion_bytes > 0 && share.fusion_bytes % kBucketAlignment == 0;
    if (!is_sound || !open_one(share, peers_[i])) return false;
    piece_bytes_ = std::min<size_t>(piece_bytes_, share.fusion_bytes);
  }
  return true;
}

bool DevicePeers::open_one(const Share& share, Peer& peer) {
  if (share.pid == ::getpid()) {
    peer = {share.fusion, share.flags, false};
    return has_shareable_threads_;
  }
  void* memory = nullptr;
  if (api_.open_memory(&share.fusion_handle, &memory) != kRsOk) return false;
  peer.fusion = static_cast<std::byte*>(memory);
  if (api_.open_memory(&share.flags_handle, &memory) != kRsOk) {
    api_.close_memory(peer.fusion);
    return false;
  }
  peer.flags = static_cast<std::byte*>(memory);
  peer.is_opened = true;
  return true;
}

void DevicePeers::wait_for(const DeviceEvent& event) {
  is_begun_ = true;
  device_->require(api_.wait_event(stream_.get(), event.get()), "an event cannot be waited for");
}

void DevicePeers::run(const Route& route, const Piece& piece) {
  const Device::InUse in_use(*device_);
  if (!piece.input.empty()) {
    device_->require(
        api_.copy(fusion_.get(), piece.input.data(), piece.input.size(), stream_.get()),
        "an array cannot be packed");
  }
  go_through(route, piece);
  if (piece.is_output_apart || piece.output.empty()) return;
  device_->require(
      api_.copy(piece.output.data(), fusion_.get(), piece.output.size(), stream_.get()),
      "a result cannot be unpacked");
}

void DevicePeers::run(const Route& route, const Bucket& bucket) {
  const Device::InUse in_use(*device_);
  const auto dtype = static_cast<uint32_t>(bucket.dtype);
  const RsMove move{bucket.segments.data(),
                    static_cast<uint32_t>(bucket.segments.size()),
                    0,
                    fusion_.get(),
                    bucket.elements,
                    dtype,
                    dtype,
                    1.0,
                    {}};
  device_->require(api_.pack(&move, stream_.get()), "arrays cannot be packed");
  Piece whole;
  whole.dtype = bucket.dtype;
  whole.reduction = bucket.reduction;
  go_through(route, whole);
  device_->require(api_.unpack(&move, stream_.get()), "results cannot be unpacked");
}

void DevicePeers::go_through(const Route& route, const Piece& piece) {
  exchange(route.neighbours);
  for (const Phase& phase : route.phases) {
    for (const RoutedStep& step : phase.steps) apply(step, piece);
    exchange(route.neighbours);
  }
  passed_ = device_->record(stream_.get());
}

DeviceWork DevicePeers::end() {
  last_ = device_->watch(stream_.get());
  is_begun_ = false;
  return {last_, passed_};
}

/// Tells the others that this rank has come here, and waits for them.
void DevicePeers::exchange(const std::vector<int>& neighbours) {
  ++value_;
  std::vector<uint32_t*> words;
  for (const int rank : neighbours) {
    words.push_back(flag(peers_[static_cast<size_t>(rank)].flags, group_.rank));
  }
  const auto* const silence = reinterpret_cast<const uint32_t*>(flags_.get() + kSilenceOffset);
  for (size_t first = 0; first < words.size(); first += kRsMostFlags) {
    const auto count = static_cast<uint32_t>(std::min<size_t>(kRsMostFlags, words.size() - first));
    device_->require(api_.signal(words.data() + first, count, value_, silence, stream_.get()),
                     "peers cannot be told");
  }
  for (const int rank : neighbours) {
    device_->require(api_.wait_flag(flag(flags_.get(), rank), value_, stream_.get()),
                     "peers cannot be waited for");
  }
}

void DevicePeers::apply(const Step& step, const Piece& piece) {
  const size_t bytes = step.read.count * size_bytes(piece.dtype);
  std::byte* const target = place_of(group_.rank, step.write, piece);
  if (step.apply == Apply::kCopy) {
    const std::byte* const source = place_of(step.from[0], step.read, piece);
    device_->require(api_.copy(target, source, bytes, stream_.get()),
                     "a peer's array cannot be copied");
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
    device_->require(api_.sum_peers(&sum, stream_.get()), "peers' arrays cannot be summed");
  }
  for (const int rank : step.to) {
    if (rank == group_.rank) continue;
    device_->require(api_.copy(place_of(rank, step.write, piece), target, bytes, stream_.get()),
                     "a sum cannot be given to a peer");
  }
}

std::byte* DevicePeers::place_of(int rank, const Range& range, const Piece& piece) const {
  const size_t offset = range.offset * size_bytes(piece.dtype);
  const bool is_apart = piece.is_output_apart && range.buffer == Buffer::kOutput;
  return (is_apart ? piece.output.data() : peers_[static_cast<size_t>(rank)].fusion) + offset;
}

uint32_t* DevicePeers::flag(std::byte* flags, int of) const {
  return reinterpret_cast<uint32_t*>(flags + static_cast<size_t>(of) * kFlagStride);
}

void DevicePeers::give_up(Deadline deadline) noexcept {
  const bool is_over = !is_begun_ && (!last_ || last_->is_done());
  if (is_over || !device_->is_here()) return;
  const Device::InUse in_use(*device_);
  auto* const silence = reinterpret_cast<uint32_t*>(flags_.get() + kSilenceOffset);
  api_.signal(&silence, 1, 1, nullptr, rescue_.get());
  do {
    for (int rank = 0; rank < group_.size; ++rank) {
      uint32_t* const word = flag(flags_.get(), rank);
      api_.signal(&word, 1, value_, nullptr, rescue_.get());
    }
    // Of what was begun and not ended nobody is told when it is over.
    if (is_begun_) return;
  } while (!device_->wait(*last_, Clock::now() + kBetween) && Clock::now() < deadline);
}

}  // namespace ringsync
