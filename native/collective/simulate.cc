#include "collective/simulate.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <utility>

#include "base/error.h"
#include "collective/executor.h"
#include "collective/simulated_ways.h"

namespace ringsync {
namespace {

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
  std::vector<SimulatedRing> rings_;
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
