#include "collective/executor.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "device/host_reduce.h"

namespace ringsync {
namespace {

/// Work of one advance() in bytes: some tens of microseconds, far below what a person or a peer
/// notices, far above the cost of the call.
constexpr size_t kAdvanceBytes = 1024 * 1024;

/// In place a step goes through the caches in pieces as large as the mailboxes' segments.
constexpr size_t kInPlaceSegmentBytes = 64 * 1024;

/// Widest element; segments are cut at multiples of it.
constexpr size_t kItemBytes = 8;

/// A flag carries the phase it ends; both sides count, so it is a check, not information.
using Flag = uint64_t;

template <typename T>
void add_once(std::vector<T>& list, T value) {
  if (!std::ranges::count(list, value)) list.push_back(value);
}

}  // namespace

Run::Run(std::shared_ptr<const Route> route, RunContext context)
    : route_(std::move(route)), context_(std::move(context)) {
  enter_phase(0);
}

Progress Run::advance() {
  budget_bytes_ = kAdvanceBytes;
  bool has_moved = false;
  while (phase_ < route_->phases.size()) {
    blocked_on_.clear();
    bool moves = advance_steps();
    moves |= advance_sends();
    if (is_phase_done()) {
      if (route_->is_in_place) moves |= exchange_flags();
      if (blocked_on_.empty()) {
        enter_phase(phase_ + 1);
        has_moved = true;
        continue;
      }
    }
    has_moved |= moves;
    if (!moves || budget_bytes_ == 0) return has_moved ? Progress::kMoved : Progress::kBlocked;
  }
  return Progress::kDone;
}

bool Run::advance_sends() {
  const std::vector<Send>& sends = route_->phases[phase_].sends;
  bool moves = false;
  std::vector<int> full;  // peers whose queue has no room: later sends to them must wait
  for (size_t i = 0; i < sends.size(); ++i) {
    if (std::ranges::count(full, sends[i].peer)) continue;
    while (sent_[i] < sends[i].range.count && budget_bytes_ > 0) {
      if (!send_segment(sends[i], sent_[i])) {
        block_on(sends[i]);
        break;
      }
      moves = true;
    }
    if (sent_[i] < sends[i].range.count) full.push_back(sends[i].peer);
  }
  return moves;
}

bool Run::advance_steps() {
  const std::vector<RoutedStep>& steps = route_->phases[phase_].steps;
  bool moves = false;
  std::vector<int> busy;  // peers whose next segments belong to an earlier, unfinished step
  for (size_t i = 0; i < steps.size(); ++i) {
    const auto is_busy = [&](int rank) { return std::ranges::count(busy, rank) > 0; };
    if (!std::ranges::any_of(steps[i].from, is_busy)) {
      while (stepped_[i] < steps[i].read.count && budget_bytes_ > 0) {
        if (!apply_segment(steps[i], stepped_[i])) break;
        moves = true;
      }
    }
    if (stepped_[i] < steps[i].read.count && !route_->is_in_place) {
      busy.insert(busy.end(), steps[i].from.begin(), steps[i].from.end());
    }
  }
  return moves;
}

bool Run::send_segment(const Send& send, size_t& done) {
  return send.peer == kEveryone
             ? send_by(*context_.board, send, done)
             : send_by(*context_.connections[static_cast<size_t>(send.peer)], send, done);
}

/// `way` is a connection or the board.
template <typename Way>
bool Run::send_by(Way& way, const Send& send, size_t& done) {
  const size_t limit = way.segment_bytes() / size_bytes(context_.dtype);
  const size_t count = std::min(limit, send.range.count - done);
  const MutableByteSpan source = bytes_of(context_.rank, send.range, done, count);
  const MutableByteSpan room = way.reserve(source.size());
  if (room.empty()) return false;
  std::memcpy(room.data(), source.data(), source.size());
  way.commit();
  done += count;
  budget_bytes_ -= std::min(budget_bytes_, source.size());
  return true;
}

bool Run::apply_segment(const RoutedStep& step, size_t& done) {
  if (context_.is_remote) return apply_remote(step, done);
  if (route_->is_in_place) return apply_in_place(step, done);
  const size_t count = std::min(segment_elements(step), step.read.count - done);
  const MutableByteSpan target = bytes_of(context_.rank, step.write, done, count);
  std::vector<ByteSpan> sources;
  sources.reserve(step.from.size());
  for (const int rank : step.from) {
    if (rank == context_.rank) {
      sources.emplace_back(bytes_of(rank, step.read, done, count));
      continue;
    }
    const ByteSpan arrived = peek(step, rank, target.size());
    if (arrived.empty()) add_once(blocked_on_, rank);
    sources.push_back(arrived);
  }
  if (std::ranges::any_of(sources, [](ByteSpan source) { return source.empty(); })) return false;
  if (step.apply == Apply::kCopy) {
    std::memmove(target.data(), sources[0].data(), target.size());
  } else {
    reduce(context_.dtype, reduction_of(step), std::span(&target, 1), sources);
  }
  for (const int rank : step.from) {
    if (rank != context_.rank) release(step, rank);
  }
  done += count;
  budget_bytes_ -= std::min(budget_bytes_, target.size());
  return true;
}

bool Run::apply_in_place(const Step& step, size_t& done) {
  const size_t limit = kInPlaceSegmentBytes / size_bytes(context_.dtype);
  const size_t count = std::min(limit, step.read.count - done);
  std::vector<ByteSpan> sources;
  sources.reserve(step.from.size());
  for (const int rank : step.from) sources.emplace_back(bytes_of(rank, step.read, done, count));
  std::vector<MutableByteSpan> targets;
  targets.reserve(step.to.size());
  for (const int rank : step.to) targets.push_back(bytes_of(rank, step.write, done, count));
  if (step.apply == Apply::kCopy) {
    for (const MutableByteSpan target : targets) {
      std::memmove(target.data(), sources[0].data(), target.size());
    }
  } else {
    reduce(context_.dtype, reduction_of(step), targets, sources);
  }
  done += count;
  budget_bytes_ -= std::min(budget_bytes_, targets[0].size() * targets.size());
  return true;
}

bool Run::apply_remote(const Step& step, size_t& done) {
  if (refused_by_) return refused_by(*refused_by_);
  const auto is_peer = [this](int rank) { return rank != context_.rank; };
  const auto peers = static_cast<size_t>(std::ranges::count_if(step.from, is_peer));
  // A copy needs no scratch: it goes from the peer's memory to its place in one piece.
  const size_t limit =
      step.apply == Apply::kCopy || peers == 0
          ? kAdvanceBytes / size_bytes(context_.dtype)
          : context_.scratch.size() / peers / kItemBytes * kItemBytes / size_bytes(context_.dtype);
  const size_t count = std::min(limit, step.read.count - done);
  const MutableByteSpan target = bytes_of(context_.rank, step.write, done, count);
  MutableByteSpan room = step.apply == Apply::kCopy ? target : context_.scratch;
  std::vector<ByteSpan> sources;
  for (const int rank : step.from) {
    const ByteSpan place = bytes_of(rank, step.read, done, count);
    sources.push_back(is_peer(rank) ? ByteSpan(room.first(place.size())) : place);
    if (!is_peer(rank)) continue;
    Connection& connection = *context_.connections[static_cast<size_t>(rank)];
    if (!connection.memory().read(reinterpret_cast<uint64_t>(place.data()),
                                  room.first(place.size()))) {
      return refused_by(rank);
    }
    room = room.subspan(place.size());
  }
  if (step.apply == Apply::kCopy) {
    if (peers == 0) std::memmove(target.data(), sources[0].data(), target.size());
  } else {
    reduce(context_.dtype, reduction_of(step), std::span(&target, 1), sources);
  }
  for (const int rank : step.to) {
    if (!is_peer(rank)) continue;
    const auto address = reinterpret_cast<uint64_t>(bytes_of(rank, step.write, done, count).data());
    Connection& connection = *context_.connections[static_cast<size_t>(rank)];
    if (!connection.memory().write(target, address)) return refused_by(rank);
  }
  done += count;
  budget_bytes_ -= std::min(budget_bytes_, target.size() * step.to.size());
  return true;
}

bool Run::refused_by(int rank) {
  refused_by_ = rank;  // for good
  add_once(blocked_on_, rank);
  return false;
}

bool Run::exchange_flags() {
  bool moves = false;
  const Flag flag = phase_;
  for (size_t i = 0; i < route_->neighbours.size(); ++i) {
    const int peer = route_->neighbours[i];
    Connection& connection = *context_.connections[static_cast<size_t>(peer)];
    if (!is_flag_sent_[i]) {
      const MutableByteSpan room = connection.reserve(sizeof(Flag));
      if (!room.empty()) {
        std::memcpy(room.data(), &flag, sizeof(Flag));
        connection.commit();
        is_flag_sent_[i] = 1;
        moves = true;
      }
    }
    if (!is_flag_seen_[i] && !connection.peek(sizeof(Flag)).empty()) {
      connection.release();
      is_flag_seen_[i] = 1;
      moves = true;
    }
    if (!is_flag_sent_[i] || !is_flag_seen_[i]) blocked_on_.push_back(peer);
  }
  return moves;
}

bool Run::is_phase_done() const {
  const Phase& phase = route_->phases[phase_];
  for (size_t i = 0; i < sent_.size(); ++i) {
    if (sent_[i] < phase.sends[i].range.count) return false;
  }
  for (size_t i = 0; i < stepped_.size(); ++i) {
    if (stepped_[i] < phase.steps[i].read.count) return false;
  }
  return true;
}

void Run::enter_phase(size_t index) {
  phase_ = index;
  if (phase_ == route_->phases.size()) return;
  sent_.assign(route_->phases[phase_].sends.size(), 0);
  stepped_.assign(route_->phases[phase_].steps.size(), 0);
  is_flag_sent_.assign(route_->neighbours.size(), 0);
  is_flag_seen_.assign(route_->neighbours.size(), 0);
}

Reduction Run::reduction_of(const Step& step) const {
  if (step.apply == Apply::kReduceLast) return context_.reduction;
  return {.op = context_.reduction.op};
}

size_t Run::segment_elements(const RoutedStep& step) const {
  if (step.is_on_board) return context_.board->segment_bytes() / size_bytes(context_.dtype);
  for (const int rank : step.from) {
    if (rank == context_.rank) continue;
    // Connections of one group have equal segments, so every sender cuts its message alike.
    return context_.connections[static_cast<size_t>(rank)]->segment_bytes() /
           size_bytes(context_.dtype);
  }
  return step.read.count;
}

ByteSpan Run::peek(const RoutedStep& step, int rank, size_t bytes) const {
  return step.is_on_board ? context_.board->peek(rank, bytes)
                          : context_.connections[static_cast<size_t>(rank)]->peek(bytes);
}

void Run::release(const RoutedStep& step, int rank) const {
  if (step.is_on_board) {
    context_.board->release(rank);
  } else {
    context_.connections[static_cast<size_t>(rank)]->release();
  }
}

void Run::block_on(const Send& send) {
  if (send.peer != kEveryone) return add_once(blocked_on_, send.peer);
  for (size_t i = 0; i < context_.connections.size(); ++i) {
    const int rank = static_cast<int>(i);
    if (rank != context_.rank && context_.board->is_behind(rank)) add_once(blocked_on_, rank);
  }
}

MutableByteSpan Run::bytes_of(int rank, const Range& range, size_t first, size_t count) const {
  const Buffers& buffers = context_.buffers[static_cast<size_t>(rank)];
  const MutableByteSpan whole = range.buffer == Buffer::kInput ? buffers.input : buffers.output;
  const size_t width = size_bytes(context_.dtype);
  return whole.subspan((range.offset + first) * width, count * width);
}

}  // namespace ringsync
