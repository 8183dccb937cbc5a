#include "collective/simulate.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <numeric>
#include <random>
#include <utility>

#include "base/error.h"
#include "collective/executor.h"

namespace ringsync {
namespace {

struct Queue {
  size_t capacity = 1;
  std::deque<std::vector<std::byte>> segments;
};

/// One end of a pair of queues.
class QueueConnection final : public Connection {
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

/// One rank's view of the rings that every rank writes and all others read.
class QueueBoard final : public Board {
 public:
  struct Ring {
    size_t capacity = 1;
    std::deque<std::vector<std::byte>> segments;  // that some reader has not released
    size_t dropped = 0;                           // segments that all have released
    std::vector<size_t> released;                 // by reader
  };

  QueueBoard(std::vector<Ring>& rings, size_t self, size_t segment_bytes)
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
    const Ring& ring = rings_[static_cast<size_t>(rank)];
    const size_t at = ring.released[self_] - ring.dropped;
    if (at >= ring.segments.size()) return {};
    if (ring.segments[at].size() != bytes) {
      throw Error("[simulate] a rank expects a segment of " + std::to_string(bytes) +
                  " bytes on the board, it has " + std::to_string(ring.segments[at].size()) + ".");
    }
    return ring.segments[at];
  }

  void release(int rank) override {
    Ring& ring = rings_[static_cast<size_t>(rank)];
    ++ring.released[self_];
    size_t least = ring.released[self_];
    for (size_t i = 0; i < ring.released.size(); ++i) {
      if (static_cast<int>(i) != rank) least = std::min(least, ring.released[i]);
    }
    for (; ring.dropped < least; ++ring.dropped) ring.segments.pop_front();
  }

  size_t sent_bytes() const { return sent_bytes_; }

 private:
  std::vector<Ring>& rings_;
  const size_t self_;
  const size_t segment_bytes_;
  std::vector<std::byte> draft_;
  size_t sent_bytes_ = 0;
};

/// Elements of peers that a rank's schedule reads or writes.
size_t touched_elements(const Schedule& schedule, int rank) {
  size_t elements = 0;
  for (const Step& step : schedule.steps) {
    for (const int from : step.from) elements += from == rank ? 0 : step.read.count;
    for (const int to : step.to) elements += to == rank ? 0 : step.write.count;
  }
  return elements;
}

/// All that n ranks need to run, in one place, because contexts point into it.
class World {
 public:
  World(const Algorithm& algorithm, const Problem& problem, Dtype dtype, const Reduction& reduction,
        std::vector<std::vector<std::byte>> inputs, size_t segment_bytes, std::mt19937_64& random,
        bool is_remote)
      : size_(static_cast<size_t>(problem.size)),
        schedules_(build_all(algorithm, problem)),
        inputs_(std::move(inputs)),
        queues_(size_ * size_),
        connections_(size_ * size_),
        // As many bytes a peer as a queue's segment holds, so that small problems are cut too.
        scratch_(segment_bytes * size_) {
    std::uniform_int_distribution<size_t> capacity(1, 4);
    for (Queue& queue : queues_) queue.capacity = capacity(random);
    for (size_t i = 0; i < size_; ++i) {
      rings_.push_back({capacity(random), {}, 0, std::vector<size_t>(size_)});
      boards_.emplace_back(rings_, i, segment_bytes);
    }
    make_outputs(problem, dtype);
    for (size_t i = 0; i < size_; ++i) {
      for (size_t j = 0; j < size_; ++j) {
        if (i == j) continue;
        connections_[i * size_ + j] = std::make_unique<QueueConnection>(
            queues_[i * size_ + j], queues_[j * size_ + i], segment_bytes);
      }
    }
    for (size_t rank = 0; rank < size_; ++rank) add_run(problem, dtype, reduction, rank, is_remote);
  }

  void run_to_end(std::mt19937_64& random) {
    std::vector<size_t> active(size_);
    std::iota(active.begin(), active.end(), 0);
    size_t idle = 0;  // advances in a row without progress
    while (!active.empty()) {
      std::uniform_int_distribution<size_t> pick(0, active.size() - 1);
      const size_t at = pick(random);
      const Progress progress = runs_[active[at]].advance();
      idle = progress == Progress::kBlocked ? idle + 1 : 0;
      if (progress == Progress::kDone) active.erase(active.begin() + static_cast<long>(at));
      // So many random picks without progress visit every rank with certainty for all purposes.
      if (idle > 200 * size_) throw Error("[simulate] deadlock" + who_waits(active));
    }
  }

  Simulation result(const Problem& problem, Dtype dtype) {
    Simulation simulation;
    for (size_t rank = 0; rank < size_; ++rank) {
      size_t elements = touched_elements(schedules_[rank], static_cast<int>(rank));
      if (!problem.is_in_place) {
        elements = boards_[rank].sent_bytes();
        for (size_t j = 0; j < size_; ++j) {
          if (j != rank) elements += connections_[rank * size_ + j]->sent_bytes();
        }
        elements /= size_bytes(dtype);
      }
      simulation.elements.push_back(elements);
    }
    simulation.outputs = std::move(outputs_);
    return simulation;
  }

 private:
  void make_outputs(const Problem& problem, Dtype dtype) {
    if (problem.collective == Collective::kReduceScatter) {
      for (const size_t part : problem.parts) outputs_.emplace_back(part * size_bytes(dtype));
      return;
    }
    if (problem.collective == Collective::kAlltoall) {
      for (int rank = 0; rank < problem.size; ++rank) {
        size_t count = 0;
        for (int peer = 0; peer < problem.size; ++peer) count += problem.part(peer, rank);
        outputs_.emplace_back(count * size_bytes(dtype));
      }
      return;
    }
    if (problem.collective != Collective::kAllgather) {
      outputs_ = inputs_;
      return;
    }
    const size_t total = std::accumulate(problem.counts.begin(), problem.counts.end(), size_t{0});
    outputs_.assign(size_, std::vector<std::byte>(total * size_bytes(dtype)));
  }

  void add_run(const Problem& problem, Dtype dtype, const Reduction& reduction, size_t rank,
               bool is_remote) {
    const auto route = std::make_shared<const Route>(
        make_route(schedules_, problem.seen_by(static_cast<int>(rank))));
    RunContext context{static_cast<int>(rank), dtype,   reduction, {}, is_remote, {},
                       &boards_[rank],         scratch_};
    for (size_t other = 0; other < size_; ++other) {
      const bool is_visible = other == rank || problem.is_in_place;
      context.buffers.push_back(is_visible ? Buffers{inputs_[other], outputs_[other]} : Buffers{});
      context.connections.push_back(connections_[rank * size_ + other].get());
    }
    runs_.emplace_back(route, std::move(context));
  }

  std::string who_waits(const std::vector<size_t>& active) const {
    std::string text;
    for (const size_t rank : active) {
      text += "; rank " + std::to_string(rank) + " waits for";
      for (const int peer : runs_[rank].blocked_on()) text += " " + std::to_string(peer);
    }
    return text;
  }

  const size_t size_;
  const std::vector<Schedule> schedules_;
  std::vector<std::vector<std::byte>> inputs_;
  std::vector<std::vector<std::byte>> outputs_;
  std::vector<Queue> queues_;  // [from * size + to]
  std::vector<std::unique_ptr<QueueConnection>> connections_;
  std::vector<QueueBoard::Ring> rings_;
  std::vector<QueueBoard> boards_;
  std::vector<std::byte> scratch_;
  std::vector<Run> runs_;
};

}  // namespace

Simulation simulate(const Algorithm& algorithm, const Problem& problem, Dtype dtype,
                    const Reduction& reduction, const std::vector<std::vector<std::byte>>& inputs,
                    size_t segment_bytes, uint64_t seed, bool is_remote) {
  std::mt19937_64 random(seed);
  World world(algorithm, problem, dtype, reduction, inputs, segment_bytes, random, is_remote);
  world.run_to_end(random);
  return world.result(problem, dtype);
}

}  // namespace ringsync
