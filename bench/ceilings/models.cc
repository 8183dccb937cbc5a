#include "models.h"

#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "shared.h"

namespace ceilings {
namespace {

using Floats = std::span<float>;

constexpr size_t kSegment = 64 * 1024 / sizeof(float);
/// Larger than a core's second-level cache: to write a line that the other core's cache still holds
/// costs five times as much as to write one that it has let go.
constexpr size_t kRingBytes = 4 * 1024 * 1024;
/// Of process_vm_readv's calls: what it copied is still in the second-level cache when it is added.
constexpr size_t kReadSegment = 256 * 1024 / sizeof(float);
constexpr size_t kMiB = 1024 * 1024;

void sum_into_both(Floats left, Floats right) {
  float* const a = left.data();
  float* const b = right.data();
  for (size_t i = 0; i < left.size(); ++i) a[i] = b[i] = a[i] + b[i];
}

void add(Floats target, std::span<const float> source) {
  float* const a = target.data();
  const float* const b = source.data();
  for (size_t i = 0; i < target.size(); ++i) a[i] += b[i];
}

void copy(std::span<const float> source, Floats target) {
  std::copy(source.begin(), source.end(), target.begin());
}

Floats half(Floats all, int index) {
  const size_t middle = all.size() / 2;
  return index == 0 ? all.first(middle) : all.subspan(middle);
}

Floats segment(Floats all, size_t index, size_t length) {
  const size_t begin = std::min(index * length, all.size());
  return all.subspan(begin, std::min(length, all.size() - begin));
}

size_t count_segments(size_t count) { return (count + kSegment - 1) / kSegment; }

struct Flags {
  Counters written, reduced, taken;
};

Flags& flags_in(const Mapping& memory) { return memory.view<Flags>(0, 1)[0]; }

/// Both arrays lie in one shared mapping; each rank sums its half into both.
class InPlace : public Model {
 public:
  explicit InPlace(size_t count)
      : count_(count),
        // Never a power of two apart: arrays 256 MiB apart fight for one way of AMD's first cache.
        distance_bytes_((count * sizeof(float) / kMiB + 3) * kMiB + kStaggerBytes),
        arrays_(2 * distance_bytes_, true) {}

  Floats array() override { return array_of(rank_); }

  void allreduce() override {
    ++turn_;
    meet(flags_in(flags_).written, rank_, turn_);
    sum_into_both(half(array_of(0), rank_), half(array_of(1), rank_));
    meet(flags_in(flags_).reduced, rank_, turn_);
  }

 private:
  Floats array_of(int rank) { return arrays_.view<float>(rank * distance_bytes_, count_); }

  const size_t count_;
  const size_t distance_bytes_;
  Mapping arrays_;
  Mapping flags_{sizeof(Flags), true};
  int64_t turn_ = 0;
};

/// Arrays of the ranks' own, as NumPy and torch give them.
class Private : public Model {
 public:
  explicit Private(size_t count)
      : count_(count), memory_(count * sizeof(float) + kStaggerBytes, false) {}

  Floats array() override { return memory_.view<float>(kStaggerBytes, count_); }

 protected:
  Flags& flags() { return flags_in(flags_); }

  const size_t count_;

 private:
  Mapping memory_;
  Mapping flags_{sizeof(Flags), true};
};

/// Shared memory whose slots are used in turn.
class Ring {
 public:
  explicit Ring(size_t count)
      : slot_bytes_((std::clamp<size_t>(count, 1, kSegment) * sizeof(float) + 63) / 64 * 64) {}

  int64_t slots() const { return static_cast<int64_t>(kRingBytes / slot_bytes_); }
  Floats slot(int64_t position, size_t count) const {
    return memory_.view<float>(static_cast<size_t>(position % slots()) * slot_bytes_, count);
  }

 private:
  const size_t slot_bytes_;
  Mapping memory_{kRingBytes, true};
};

/// Each rank shows the other its whole array: one exchange of flags, the best for small ones.
class Whole : public Private {
 public:
  explicit Whole(size_t count) : Private(count), rings_{Ring(count), Ring(count)} {}

  void allreduce() override {
    const size_t steps = count_segments(count_);
    for (size_t step = 0; step <= steps; ++step) {
      if (step < steps) write(step);
      if (step > 0) take(step - 1);
    }
    position_ += static_cast<int64_t>(steps);
  }

 private:
  void write(size_t step) {
    const int64_t position = position_ + static_cast<int64_t>(step);
    const Floats part = segment(array(), step, kSegment);
    flags().taken[1 - rank_].wait_for(position - rings_[rank_].slots() + 1);
    copy(part, rings_[rank_].slot(position, part.size()));
    flags().written[rank_].set(position + 1);
  }

  void take(size_t step) {
    const int64_t position = position_ + static_cast<int64_t>(step);
    const Floats part = segment(array(), step, kSegment);
    flags().written[1 - rank_].wait_for(position + 1);
    add(part, rings_[1 - rank_].slot(position, part.size()));
    flags().taken[rank_].set(position + 1);
  }

  std::array<Ring, 2> rings_;
  int64_t position_ = 0;
};

/// Each rank sums its half of the array and shows the result: half the additions.
class Halves : public Private {
 public:
  explicit Halves(size_t count)
      : Private(count),
        values_{Ring(count - count / 2), Ring(count - count / 2)},
        sums_{Ring(count - count / 2), Ring(count - count / 2)} {}

  void allreduce() override {
    const size_t steps = count_segments(count_ - count_ / 2);
    for (size_t step = 0; step < steps + 2; ++step) {
      if (step < steps) write(step);
      if (step >= 1 && step <= steps) reduce(step - 1);
      if (step >= 2) take(step - 2);
    }
    position_ += static_cast<int64_t>(steps);
  }

 private:
  void write(size_t step) {
    const int64_t position = position_ + static_cast<int64_t>(step);
    const Floats part = segment(half(array(), 1 - rank_), step, kSegment);
    flags().reduced[1 - rank_].wait_for(position - values_[rank_].slots() + 1);
    copy(part, values_[rank_].slot(position, part.size()));
    flags().written[rank_].set(position + 1);
  }

  void reduce(size_t step) {
    const int64_t position = position_ + static_cast<int64_t>(step);
    const Floats part = segment(half(array(), rank_), step, kSegment);
    flags().written[1 - rank_].wait_for(position + 1);
    flags().taken[1 - rank_].wait_for(position - sums_[rank_].slots() + 1);
    const Floats values = values_[1 - rank_].slot(position, part.size());
    const Floats sums = sums_[rank_].slot(position, part.size());
    for (size_t i = 0; i < part.size(); ++i) part[i] = sums[i] = part[i] + values[i];
    flags().reduced[rank_].set(position + 1);
  }

  void take(size_t step) {
    const int64_t position = position_ + static_cast<int64_t>(step);
    const Floats part = segment(half(array(), 1 - rank_), step, kSegment);
    flags().reduced[1 - rank_].wait_for(position + 1);
    copy(sums_[1 - rank_].slot(position, part.size()), part);
    flags().taken[rank_].set(position + 1);
  }

  std::array<Ring, 2> values_;
  std::array<Ring, 2> sums_;
  int64_t position_ = 0;
};

/// Each rank reads the other's half from its process and writes the sum back into it.
class Read : public Private {
 public:
  explicit Read(size_t count) : Private(count), values_(std::min(count, kReadSegment)) {}

  void allreduce() override {
    ++turn_;
    meet(flags().written, rank_, turn_);
    const Floats mine = half(array(), rank_);
    for (size_t begin = 0; begin < mine.size(); begin += kReadSegment) {
      const Floats part = segment(mine, begin / kReadSegment, kReadSegment);
      // Made before the fork, the arrays of both processes have one address.
      iovec local{values_.data(), part.size_bytes()};
      iovec remote{part.data(), part.size_bytes()};
      require(process_vm_readv(processes_[1 - rank_], &local, 1, &remote, 1, 0), part);
      add(part, Floats(values_).first(part.size()));
      local = remote;
      require(process_vm_writev(processes_[1 - rank_], &local, 1, &remote, 1, 0), part);
    }
    meet(flags().reduced, rank_, turn_);
  }

 private:
  static void require(ssize_t copied_bytes, Floats part) {
    if (copied_bytes != static_cast<ssize_t>(part.size_bytes())) {
      throw std::system_error(errno, std::generic_category(), "process_vm_readv or writev");
    }
  }

  std::vector<float> values_;
  int64_t turn_ = 0;
};

}  // namespace

std::unique_ptr<Model> make_model(const std::string& name, size_t count) {
  if (name == "in-place") return std::make_unique<InPlace>(count);
  if (name == "whole") return std::make_unique<Whole>(count);
  if (name == "halves") return std::make_unique<Halves>(count);
  if (name == "read") return std::make_unique<Read>(count);
  throw std::invalid_argument("no ceiling is called " + name);
}

}  // namespace ceilings
