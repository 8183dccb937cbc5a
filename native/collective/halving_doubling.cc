#include <bit>

#include "collective/algorithms.h"

namespace ringsync {
namespace {

/// Largest power of two that is at most `size`.
int core_size(int size) { return static_cast<int>(std::bit_floor(static_cast<unsigned>(size))); }

/// Allreduce by recursive halving, then doubling: partners at half the distance each time exchange
/// half of what they still sum, then hand the sums back the same way. 2 log2(n) phases for a power
/// of two. Else the ranks beyond it first give all they have to a rank below, and are given the
/// result at the end. Thakur, Rabenseifner & Gropp, IJHPCA 19(1):49-66, 2005.
class HalvingDoubling final : public Algorithm {
 public:
  std::string_view name() const override { return "halving_doubling"; }

  bool applies(const Problem& problem) const override {
    return problem.collective == Collective::kAllreduce;
  }

  bool rounds_once() const override { return false; }

  Schedule build(const Problem& problem) const override {
    if (problem.size == 1) return scale_alone(problem);
    const int core = core_size(problem.size);
    const int rank = problem.rank;
    const int twin = rank < core ? rank + core : rank - core;
    const bool has_twin = twin < problem.size;
    const Range whole{Buffer::kOutput, 0, problem.counts[0]};
    Schedule schedule{.phases = phases(problem.size), .steps = {}};
    if (rank >= core) {
      schedule.steps.push_back({schedule.phases - 1, {twin}, whole, {rank}, whole, Apply::kCopy});
      return schedule;
    }
    int phase = 0;
    if (core < problem.size) {
      if (has_twin) {
        schedule.steps.push_back({phase, {rank, twin}, whole, {rank}, whole, Apply::kReduce});
      }
      ++phase;
    }
    const auto block = [&](int member, int length) {
      return chunks(problem.counts[0], core, member / length * length, length);
    };
    for (int distance = core / 2; distance > 0; distance /= 2) {
      const int partner = rank ^ distance;
      const Range kept = block(rank, distance);
      const Apply apply = distance == 1 ? Apply::kReduceLast : Apply::kReduce;
      // Lower rank first: the order of a sum does not depend on who computes it.
      schedule.steps.push_back(
          {phase++, {rank & partner, rank | partner}, kept, {rank}, kept, apply});
    }
    for (int distance = 1; distance < core; distance *= 2) {
      const int partner = rank ^ distance;
      const Range sums = block(partner, distance);
      schedule.steps.push_back({phase++, {partner}, sums, {rank}, sums, Apply::kCopy});
    }
    return schedule;
  }

  Cost cost(const Problem& problem) const override {
    const int core = core_size(problem.size);
    const auto steps = static_cast<size_t>(phases(problem.size));
    const size_t count = problem.counts[0];
    const size_t halves = static_cast<size_t>(core - 1) * longest_chunk(count, core);
    const size_t whole = core < problem.size ? count : 0;
    // In place ranks share memory with partners of partners too, and tell all of them.
    const size_t told = problem.is_in_place ? static_cast<size_t>(problem.size - 1) : 1;
    return {.steps = steps,
            .messages = steps * told,
            .elements = 2 * halves + whole,
            .sums = halves + whole};
  }

 private:
  static int phases(int size) {
    const int core = core_size(size);
    return 2 * std::countr_zero(static_cast<unsigned>(core)) + (core < size ? 2 : 0);
  }

  /// Chunks first to first + length of `parts`, which lie side by side.
  static Range chunks(size_t count, int parts, int first, int length) {
    const Chunk last = chunk_of(count, parts, first + length - 1);
    const size_t offset = chunk_of(count, parts, first).offset;
    return {Buffer::kOutput, offset, last.offset + last.count - offset};
  }
};

}  // namespace

std::unique_ptr<Algorithm> make_halving_doubling() { return std::make_unique<HalvingDoubling>(); }

}  // namespace ringsync
