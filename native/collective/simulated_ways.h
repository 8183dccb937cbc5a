#pragma once

// Connections and boards of the simulation: queues in memory, each of which holds a few segments.

#include <algorithm>
#include <cstring>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "transport/transport.h"

namespace ringsync {

struct Queue {
  size_t capacity = 1;
  std::deque<std::vector<std::byte>> segments;
};

/// One end of a pair of queues.
class QueueConnection final : public Connection, public PeerMemory {
 public:
  QueueConnection(Queue& out, Queue& in, size_t segment_bytes)
      : out_(out), in_(in), segment_bytes_(segment_bytes) {}

  size_t segment_bytes() const override { return segment_bytes_; }

  MutableByteSpan reserve(size_t bytes) override {
    if (out_.segments.size() >= out_.capacity) return {};
    draft_.assign(bytes, std::byte{0});
    return draft_;
  }

  void commit() override {
    sent_bytes_ += draft_.size();
    out_.segments.push_back(std::exchange(draft_, {}));
  }

  ByteSpan peek(size_t bytes) override {
    if (in_.segments.empty()) return {};
    if (in_.segments.front().size() != bytes) {
      throw Error("[simulate] a rank expects a segment of " + std::to_string(bytes) +
                  " bytes, its peer sent " + std::to_string(in_.segments.front().size()) + ".");
    }
    return in_.segments.front();
  }

  void release() override { in_.segments.pop_front(); }
  PeerMemory& memory() override { return *this; }
  MutableByteSpan window(uint64_t) override { return {}; }
  bool read(uint64_t address, MutableByteSpan into) override {
    std::memcpy(into.data(), reinterpret_cast<const std::byte*>(address), into.size());
    return true;
  }
  bool write(ByteSpan from, uint64_t address) override {
    std::memcpy(reinterpret_cast<std::byte*>(address), from.data(), from.size());
    return true;
  }
  std::optional<LostPeer> lost() const override { return std::nullopt; }

  size_t sent_bytes() const { return sent_bytes_; }

 private:
  Queue& out_;
  Queue& in_;
  const size_t segment_bytes_;
  std::vector<std::byte> draft_;
  size_t sent_bytes_ = 0;
};

/// What one rank has written on the board.
struct SimulatedRing {
  size_t capacity = 1;
  std::deque<std::vector<std::byte>> segments;  // that some reader has not released
  size_t dropped = 0;                           // segments that all have released
  std::vector<size_t> released;                 // by reader
};

/// One rank's view of the rings that every rank writes and all others read.
class QueueBoard final : public Board {
 public:
  QueueBoard(std::vector<SimulatedRing>& rings, size_t self, size_t segment_bytes)
      : rings_(rings), self_(self), segment_bytes_(segment_bytes) {}

  size_t segment_bytes() const override { return segment_bytes_; }

  MutableByteSpan reserve(size_t bytes) override {
    if (rings_[self_].segments.size() >= rings_[self_].capacity) return {};
    draft_.assign(bytes, std::byte{0});
    return draft_;
  }

  void commit() override {
    sent_bytes_ += draft_.size();
    rings_[self_].segments.push_back(std::exchange(draft_, {}));
  }

  bool is_behind(int rank) const override {
    return rings_[self_].released[static_cast<size_t>(rank)] == rings_[self_].dropped;
  }

  ByteSpan peek(int rank, size_t bytes) override {
    const SimulatedRing& ring = rings_[static_cast<size_t>(rank)];
    const size_t at = ring.released[self_] - ring.dropped;
    if (at >= ring.segments.size()) return {};
    if (ring.segments[at].size() != bytes) {
      throw Error("[simulate] a rank expects a segment of " + std::to_string(bytes) +
                  " bytes on the board, it has " + std::to_string(ring.segments[at].size()) + ".");
    }
    return ring.segments[at];
  }

  void release(int rank) override {
    SimulatedRing& ring = rings_[static_cast<size_t>(rank)];
    ++ring.released[self_];
    size_t least = ring.released[self_];
    for (size_t i = 0; i < ring.released.size(); ++i) {
      if (static_cast<int>(i) != rank) least = std::min(least, ring.released[i]);
    }
    for (; ring.dropped < least; ++ring.dropped) ring.segments.pop_front();
  }

  void close() noexcept override {}
  bool is_closed(int) const override { return false; }

  size_t sent_bytes() const { return sent_bytes_; }

 private:
  std::vector<SimulatedRing>& rings_;
  const size_t self_;
  const size_t segment_bytes_;
  std::vector<std::byte> draft_;
  size_t sent_bytes_ = 0;
};

}  // namespace ringsync
