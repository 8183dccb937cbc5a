// What a group's ranks run on their devices, in stream order. What they share there is
// device_peers.cc's matter.

#include <algorithm>
#include <string>
#include <vector>

#include "engine/device_peers.h"

namespace ringsync {
namespace {

/// How long a rank that gives up waits before it writes its flags again: a peer that is behind may
/// have written its lower count over them.
constexpr auto kBetween = std::chrono::milliseconds(20);

}  // namespace

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
  run_bucket(bucket, [&] {
    Piece whole;
    whole.dtype = bucket.dtype;
    whole.reduction = bucket.reduction;
    go_through(route, whole);
    return 1.0;
  });
}

void DevicePeers::run_by_nccl(const Problem& problem, const Piece& piece) {
  const Device::InUse in_use(*device_);
  nccl_->run(
      problem,
      {piece.input, piece.output, piece.dtype, piece.reduction, {fusion_.get(), piece_bytes_}},
      stream_.get());
  passed_ = device_->record(stream_.get());
}

void DevicePeers::run_by_nccl(const Bucket& bucket) {
  run_bucket(bucket, [&] {
    const size_t bytes = bucket.elements * size_bytes(bucket.dtype);
    const double left =
        nccl_->sum({fusion_.get(), bytes}, bucket.dtype, bucket.reduction, stream_.get());
    passed_ = device_->record(stream_.get());
    return left;
  });
}

/// `sum`s it once it is packed, which returns what results are multiplied by when they are
/// unpacked.
template <typename Sum>
void DevicePeers::run_bucket(const Bucket& bucket, const Sum& sum) {
  const Device::InUse in_use(*device_);
  const auto dtype = static_cast<uint32_t>(bucket.dtype);
  RsMove move{bucket.segments.data(),
              static_cast<uint32_t>(bucket.segments.size()),
              0,
              fusion_.get(),
              bucket.elements,
              dtype,
              dtype,
              1.0,
              {}};
  device_->require(api_.pack(&move, stream_.get()), "arrays cannot be packed");
  move.scale = sum();
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
  words.reserve(neighbours.size());
  for (const int rank : neighbours) {
    words.push_back(flag(peers_[static_cast<size_t>(rank)].flags, group_.rank));
  }
  for (size_t first = 0; first < words.size(); first += kRsMostFlags) {
    const auto count = static_cast<uint32_t>(std::min<size_t>(kRsMostFlags, words.size() - first));
    device_->require(api_.signal(words.data() + first, count, value_, silence(), stream_.get()),
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

void DevicePeers::give_up(Deadline deadline) noexcept {
  const bool is_over = !is_begun_ && (!last_ || last_->is_done());
  if (is_over || !device_->is_here()) return;
  has_given_up_ = true;
  const Device::InUse in_use(*device_);
  uint32_t* const silenced = silence();
  api_.signal(&silenced, 1, 1, nullptr, rescue_.get());
  for (;;) {
    for (int rank = 0; rank < group_.size; ++rank) {
      uint32_t* const word = flag(flags_.get(), rank);
      api_.signal(&word, 1, value_, nullptr, rescue_.get());
    }
    // Of what was begun and not ended nobody is told when it is over.
    const bool is_past = !is_begun_ && device_->wait(*last_, Clock::now() + kBetween);
    // To abort may take until the stream is past all that lies before NCCL's work on it.
    if (nccl_) nccl_->abort();
    if (is_past || is_begun_ || Clock::now() >= deadline) return;
  }
}

}  // namespace ringsync
