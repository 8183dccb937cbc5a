// Random buckets through the simulated device's kernels, in allocations that end where tensors end:
// with the compiler's sanitizers an access beside them is an error. Prints how many were wrong.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "device/plugin_abi.h"
#include "hostsim/kernels.h"

namespace {

using Generator = std::mt19937;
using Bytes = std::unique_ptr<std::byte[]>;

template <typename T>
struct Tensor {
  Bytes memory;
  T* values;
  uint32_t count;
};

uint32_t draw(Generator& generator, uint32_t most) {
  return std::uniform_int_distribution<uint32_t>(0, most)(generator);
}

/// At any address that a value may have, and nothing behind it.
template <typename T>
Tensor<T> make_tensor(Generator& generator) {
  const uint32_t count = draw(generator, 2) == 0 ? draw(generator, 6) : draw(generator, 4000);
  const uint32_t shift = draw(generator, 3);
  Bytes memory = std::make_unique<std::byte[]>((count + shift) * sizeof(T));
  auto* values = reinterpret_cast<T*>(memory.get()) + shift;
  return {std::move(memory), values, count};
}

/// Of tensors and of their fusion buffer.
struct Types {
  uint32_t tensor;
  uint32_t fused;
  size_t fused_bytes;
  /// 1 where they are integers.
  double scale;
};

RsStatus run(RsStatus status, const ringsync::hostsim::Task& task) {
  return status == kRsOk && task ? task() : status;
}

RsStatus run_move(const RsMove& move, bool is_pack) {
  ringsync::hostsim::Task task;
  const RsStatus status = ringsync::hostsim::make_move(move, is_pack, task);
  return run(status, task);
}

/// Packs and unpacks one bucket; values have so few bits that every type holds them.
template <typename T>
int wrong_in_bucket(Generator& generator, const Types& types) {
  std::vector<Tensor<T>> tensors;
  std::vector<RsSegment> segments;
  std::vector<T> kept;
  uint32_t first = 0;
  const uint32_t count = 1 + draw(generator, 40);
  for (uint32_t i = 0; i < count; ++i) {
    const Tensor<T>& tensor = tensors.emplace_back(make_tensor<T>(generator));
    for (uint32_t k = 0; k < tensor.count; ++k) {
      tensor.values[k] = static_cast<T>(draw(generator, 127)) - T{64};
      kept.push_back(tensor.values[k]);
    }
    segments.push_back({tensor.values, first, tensor.count});
    // Aligned or not.
    first += tensor.count + (draw(generator, 1) == 0 ? 0 : 64 - tensor.count % 64);
  }
  const uint32_t end = segments.back().first + segments.back().count;
  const Bytes fused = std::make_unique<std::byte[]>(end * types.fused_bytes);
  const uint32_t threads = 1u << draw(generator, 7);
  RsMove move{segments.data(), count,       0,           fused.get(), end,
              types.tensor,    types.fused, types.scale, {}};
  move.shape = {threads, 1u << draw(generator, 7), 64u << draw(generator, 8), draw(generator, 9)};
  int wrong = run_move(move, true) != kRsOk ? 1 : 0;
  for (const Tensor<T>& tensor : tensors) std::fill_n(tensor.values, tensor.count, T{99});
  move.scale = 1.0 / types.scale;
  wrong += run_move(move, false) != kRsOk ? 1 : 0;
  const T* want = kept.data();
  for (const Tensor<T>& tensor : tensors) {
    for (uint32_t k = 0; k < tensor.count; ++k) wrong += tensor.values[k] != *want++ ? 1 : 0;
  }
  return wrong;
}

int wrong_in_sum(Generator& generator) {
  RsSum sum{nullptr, {}, 1 + draw(generator, kRsMostPeers - 1), kRsFloat32, 0, 0.25, {}};
  std::vector<Tensor<float>> sources;
  const uint32_t count = draw(generator, 3000);
  sum.count = count;
  for (uint32_t s = 0; s < sum.source_count; ++s) {
    const uint32_t shift = draw(generator, 1);
    Bytes memory = std::make_unique<std::byte[]>((count + shift) * sizeof(float));
    auto* values = reinterpret_cast<float*>(memory.get()) + shift;
    std::fill_n(values, count, static_cast<float>(s));
    sum.sources[s] = values;
    sources.push_back({std::move(memory), values, count});
  }
  sum.destination = sources[draw(generator, sum.source_count - 1)].values;
  ringsync::hostsim::Task task;
  const RsStatus status = ringsync::hostsim::make_sum(sum, task);
  int wrong = run(status, task) != kRsOk ? 1 : 0;
  const auto want = static_cast<float>(sum.source_count * (sum.source_count - 1)) / 8.0f;
  const auto* found = static_cast<const float*>(sum.destination);
  for (uint32_t k = 0; k < count; ++k) wrong += found[k] != want ? 1 : 0;
  return wrong;
}

}  // namespace

int main() {
  Generator generator(20261127);
  int wrong = 0;
  for (int turn = 0; turn < 100; ++turn) {
    wrong += wrong_in_bucket<float>(generator, {kRsFloat32, kRsFloat32, 4, 0.5});
    wrong += wrong_in_bucket<float>(generator, {kRsFloat32, kRsFloat16, 2, 0.5});
    wrong += wrong_in_bucket<float>(generator, {kRsFloat32, kRsBfloat16, 2, 0.5});
    wrong += wrong_in_bucket<double>(generator, {kRsFloat64, kRsFloat64, 8, 0.5});
    wrong += wrong_in_bucket<int32_t>(generator, {kRsInt32, kRsInt32, 4, 1.0});
    wrong += wrong_in_bucket<int64_t>(generator, {kRsInt64, kRsInt64, 8, 1.0});
    wrong += wrong_in_sum(generator);
  }
  std::printf("%d wrong\n", wrong);
  return wrong != 0 ? 1 : 0;
}
