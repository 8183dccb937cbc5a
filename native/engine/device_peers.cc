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

/// Each rank's flags: a word of each kind for each other rank, no two in one line that a device
/// writes at once, and one that silences its own signals.
constexpr size_t kFlagStride = 128;
constexpr size_t kSilenceOffset = kFlagKinds * kRsMostPeers * kFlagStride;
constexpr size_t kFlagsBytes = kSilenceOffset + kFlagStride;

/// Of a fusion buffer: 64 MiB on a device of 64 GB or more, so that a hundred groups take a tenth
/// of it, and each piece is long against the launches that it takes.
constexpr size_t kMostFusionBytes = 64 * 1024 * 1024;
constexpr size_t kFewestFusionBytes = 4 * 1024 * 1024;
constexpr size_t kFusionShare = 1024;

/// For the first words to a stream of its own: microseconds, unless the device stands still.
constexpr auto kSetUp = std::chrono::seconds(5);

/// Those for which plug-ins have sums.
bool is_summed_by_kernels(Dtype dtype) {
  constexpr std::array kKnown{Dtype::kInt32,   Dtype::kInt64,   Dtype::kFloat32,
                              Dtype::kFloat64, Dtype::kFloat16, Dtype::kBfloat16};
  return std::ranges::count(kKnown, dtype) > 0;
}

/// Of a fusion buffer, what an array has to itself.
size_t half_of(size_t fusion_bytes) {
  return fusion_bytes / 2 / kBucketAlignment * kBucketAlignment;
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
             (is_floating(request.dtype) || scale_of(reduction) == 1);
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
  int64_t pid = 0;
  std::byte* fusion = nullptr;
  std::byte* flags = nullptr;
  uint64_t fusion_bytes = 0;
  RsMemoryHandle fusion_handle{};
  RsMemoryHandle flags_handle{};
  NcclWord nccl;
};

DevicePeers::DevicePeers(std::shared_ptr<Device> device, const GroupView& group,
                         Transport& transport, NcclChoice nccl)
    : device_(std::move(device)),
      group_(group),
      api_(device_->api()),
      share_(transport.allocate(sizeof(Share))),
      registration_(transport.locate({share_.get(), sizeof(Share)})),
      peers_(static_cast<size_t>(group.size)),
      words_(peers_.size()),
      nccl_choice_(std::move(nccl)) {
  const Device::InUse in_use(*device_);
  RsDeviceFacts facts{};
  device_->require(api_.look_at_device(device_->ordinal(), &facts), "it cannot be looked at");
  // To give memory back would wait for streams, one of which may wait for this very rank.
  has_shareable_threads_ = facts.waits_on_release == 0;
  if (facts.can_export_memory == 0) {
    throw Error("[device] its memory cannot be shared between processes. Nothing is to be done.");
  }
  const size_t fusion_bytes =
      std::clamp(facts.memory_bytes / kFusionShare, kFewestFusionBytes, kMostFusionBytes) /
      kBucketAlignment * kBucketAlignment;
  piece_bytes_ = half_of(fusion_bytes);
  fusion_ = device_->lend_shareable(fusion_bytes);
  flags_ = device_->lend_shareable(kFlagsBytes);
  auto* const share = std::construct_at(reinterpret_cast<Share*>(share_.get()));
  share->pid = ::getpid();
  share->fusion = fusion_.get();
  share->flags = flags_.get();
  share->fusion_bytes = fusion_bytes;
  std::ranges::copy(facts.uuid, share->nccl.device.begin());
  device_->require(api_.export_memory(fusion_.get(), &share->fusion_handle),
                   "its memory cannot be shared");
  device_->require(api_.export_memory(flags_.get(), &share->flags_handle),
                   "its memory cannot be shared");
  stream_ = device_->make_stream();
  graphs_ = std::make_unique<DeviceGraphs>(*device_, stream_.get());
  room_ = std::make_unique<FusionRoom>(*device_, MutableByteSpan(fusion_.get(), fusion_bytes),
                                       stream_.get());
  rescue_ = device_->make_stream();
  device_->require(api_.fill(flags_.get(), 0, kFlagsBytes, stream_.get()),
                   "flags cannot be written");
  // Not every driver can wait for one.
  device_->require(api_.wait_flag(flag(flags_.get(), 0, kEntryFlag), 0, stream_.get()),
                   "flags cannot be waited for");
  const std::shared_ptr<StreamWork> words = device_->expect();
  first_words_ = words;
  device_->watch(words, stream_.get(), nullptr);
  set_up_by_ = Clock::now() + kSetUp;
}

bool DevicePeers::is_set_up() {
  if (!first_words_) return true;
  if (!first_words_->is_done()) {
    if (Clock::now() < set_up_by_) return false;
    throw Error("[device] " + device_->name() + ": flags were not written for " +
                std::to_string(kSetUp.count()) + " s, as if it stood still. See what works on it.");
  }
  device_->require(first_words_->status(), "flags cannot be written");
  first_words_.reset();
  return true;
}

Deadline DevicePeers::set_up_by() const {
  return first_words_ && !first_words_->is_done() ? set_up_by_ : kNever;
}

DevicePeers::~DevicePeers() {
  // Others may yet look for NCCL, and what they read has to be what was written for them.
  if (nccl_ && device_->is_here()) device_->keep(std::move(share_));
  if (is_begun_ || set_up_by() != kNever || (last_ && !last_->is_done())) {
    forget_all();
    return;
  }
  if (has_given_up_) {
    // A peer that is behind may write there yet, and would tell the next group what is not so.
    forget(std::move(fusion_));
    forget(std::move(flags_));
  }
  if (!device_->is_here()) return;
  const Device::InUse in_use(*device_);
  for (const Peer& peer : peers_) {
    if (!peer.is_opened) continue;
    api_.close_memory(peer.fusion);
    api_.close_memory(peer.flags);
  }
}

/// To give any of it back would wait for the device.
void DevicePeers::forget_all() {
  room_->forget_streams();
  graphs_->forget_all();
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
      words_[i] = &reinterpret_cast<const Share*>(share_.get())->nccl;
      continue;
    }
    const Registration place = headers[i].registration;
    const MutableByteSpan window = group_.connections[i]->memory().window(place.id);
    if (place.offset > window.size() || sizeof(Share) > window.size() - place.offset ||
        place.offset % alignof(Share) != 0) {
      return false;
    }
    const auto& share = *reinterpret_cast<const Share*>(window.data() + place.offset);
    words_[i] = &share.nccl;
    const bool is_sound = half_of(share.fusion_bytes) > 0;
    if (!is_sound || !open_one(share, peers_[i])) return false;
    piece_bytes_ = std::min(piece_bytes_, half_of(share.fusion_bytes));
  }
  room_->limit(piece_bytes_);
  if (nccl_choice_.is_wanted) {
    const std::shared_ptr<NcclWord> own{share_, &reinterpret_cast<Share*>(share_.get())->nccl};
    nccl_ =
        std::make_unique<NcclPeers>(device_, nccl_choice_, group_, 2 * piece_bytes_, own, words_);
  }
  return true;
}

std::optional<std::string> DevicePeers::take_nccl_failure() {
  return nccl_ ? nccl_->take_failure() : std::nullopt;
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

uint32_t* DevicePeers::flag(std::byte* flags, int of, size_t kind) {
  const size_t index = kind * kRsMostPeers + static_cast<size_t>(of);
  return reinterpret_cast<uint32_t*>(flags + index * kFlagStride);
}

uint32_t* DevicePeers::silence() const {
  return reinterpret_cast<uint32_t*>(flags_.get() + kSilenceOffset);
}

}  // namespace ringsync
