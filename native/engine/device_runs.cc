// What a group's ranks run on their devices, in stream order. What they share there is
// device_peers.cc's matter.

#include <algorithm>
#include <string>
#include <vector>

#include "engine/device_peers.h"

namespace ringsync {
namespace {

/// How long a rank that gives up waits before it writes its flags again: its own stream may have
/// been about to reset one.
constexpr auto kBetween = std::chrono::milliseconds(20);

/// The timeline's.
constexpr char kRunWord[] = "run";

}  // namespace

void DevicePeers::begin(DeviceStart start) {
  is_begun_ = true;
  start_ = std::move(start);
  measures_ = {start_.is_measured ? device_->clock() : nullptr, {}};
}

void DevicePeers::run(const std::shared_ptr<const Route>& route, const DevicePiece& piece) {
  const Device::InUse in_use(*device_);
  passed_ = room_->run(
      start_.after,
      [&](MutableByteSpan half, void* stream) {
        copy(*device_, half.data(), piece.input, stream, "an array cannot be packed");
        return !piece.input.empty();
      },
      kRunWord, [&](MutableByteSpan half) { go_through(route, piece, half); },
      [&](MutableByteSpan half, void* stream) {
        const bool is_here = !piece.is_output_apart && !piece.output.empty();
        if (is_here) {
          copy(*device_, piece.output.data(), half.first(piece.output.size()), stream,
               "a result cannot be unpacked");
        }
        return is_here;
      },
      measures_);
}

void DevicePeers::run(const std::shared_ptr<const Route>& route, const DeviceBucket& bucket) {
  const Device::InUse in_use(*device_);
  passed_ = room_->run(
      start_.after,
      [&](MutableByteSpan half, void* stream) { return pack(*device_, bucket, half, stream); },
      kRunWord,
      [&](MutableByteSpan half) {
        DevicePiece whole;
        whole.dtype = bucket.dtype;
        whole.reduction = bucket.reduction;
        go_through(route, whole, half);
      },
      [&](MutableByteSpan half, void* stream) { return unpack(*device_, bucket, half, 1, stream); },
      measures_);
}

/// All ranks have come to the same half.
void DevicePeers::go_through(const std::shared_ptr<const Route>& route, const DevicePiece& piece,
                             MutableByteSpan half) {
  offset_ = static_cast<size_t>(half.data() - fusion_.get());
  const std::byte* const output = piece.is_output_apart ? piece.output.data() : nullptr;
  graphs_->run({route, offset_, output, piece.dtype, scale_of(piece.reduction)},
               [&] { put(*route, piece); });
}

/// All of it is told by the key above.
void DevicePeers::put(const Route& route, const DevicePiece& piece) {
  exchange(route.neighbours, kEntryFlag);
  size_t kind = kEntryFlag;
  for (const Phase& phase : route.phases) {
    for (const RoutedStep& step : phase.steps) apply(step, piece);
    kind = kind == 1 ? 2 : 1;
    exchange(route.neighbours, kind);
  }
}

std::shared_ptr<const StreamWork> DevicePeers::end() {
  const std::shared_ptr<StreamWork> work = device_->expect();
  last_ = work;
  device_->watch(work, room_->end(), std::move(passed_), std::move(measures_));
  is_begun_ = false;
  return work;
}

/// Tells the others that this rank has come here, and waits for them. All values are constants, so
/// that a graph can hold them: who has waited for a flag resets it. Nobody writes a flag before
/// that: a neighbour writes the next one of this kind, two exchanges on at least, once it has seen
/// what this rank signals in the exchange between, which comes behind the reset.
void DevicePeers::exchange(const std::vector<int>& neighbours, size_t kind) {
  std::vector<uint32_t*> theirs;
  std::vector<uint32_t*> own;
  for (const int rank : neighbours) {
    theirs.push_back(flag(peers_[static_cast<size_t>(rank)].flags, group_.rank, kind));
    own.push_back(flag(flags_.get(), rank, kind));
  }
  write(theirs, 1, "peers cannot be told");
  for (const uint32_t* const word : own) {
    device_->require(api_.wait_flag(word, 1, stream_.get()), "peers cannot be waited for");
  }
  write(own, 0, "flags cannot be reset");
}

/// Nothing, once this rank has given up.
void DevicePeers::write(std::span<uint32_t* const> words, uint32_t value, const char* what) {
  while (!words.empty()) {
    const auto some = words.first(std::min<size_t>(kRsMostFlags, words.size()));
    device_->require(api_.signal(some.data(), static_cast<uint32_t>(some.size()), value, silence(),
                                 stream_.get()),
                     what);
    words = words.subspan(some.size());
  }
}

void DevicePeers::apply(const Step& step, const DevicePiece& piece) {
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

std::byte* DevicePeers::place_of(int rank, const Range& range, const DevicePiece& piece) const {
  const size_t offset = range.offset * size_bytes(piece.dtype);
  const bool is_apart = piece.is_output_apart && range.buffer == Buffer::kOutput;
  return is_apart ? piece.output.data() + offset
                  : peers_[static_cast<size_t>(rank)].fusion + offset_ + offset;
}

void DevicePeers::give_up(Deadline deadline, bool is_idle) noexcept {
  if (!device_->is_here()) return;
  leave_nccl();
  if (is_idle) return;
  // Whatever runs here: a peer may have begun what this rank has only announced.
  has_given_up_ = true;
  if (!is_begun_ && (!last_ || last_->is_done())) return;
  const Device::InUse in_use(*device_);
  uint32_t* const silenced = silence();
  api_.signal(&silenced, 1, 1, nullptr, rescue_.get());
  for (;;) {
    for (int rank = 0; rank < group_.size; ++rank) {
      std::array<uint32_t*, kFlagKinds> words{};
      for (size_t kind = 0; kind < kFlagKinds; ++kind) words[kind] = flag(flags_.get(), rank, kind);
      static_assert(kFlagKinds <= kRsMostFlags);
      api_.signal(words.data(), kFlagKinds, 1, nullptr, rescue_.get());
    }
    // Of what was begun and not ended nobody is told when it is over, only of what lies before it.
    const bool is_past = !last_ || device_->wait(*last_, Clock::now() + kBetween);
    if (is_past || Clock::now() >= deadline) return;
  }
}

}  // namespace ringsync
