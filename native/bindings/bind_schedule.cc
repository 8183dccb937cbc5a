#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>

#include "bindings/bind_array.h"
#include "bindings/bindings.h"
#include "collective/race.h"
#include "collective/registry.h"
#include "collective/route.h"
#include "collective/simulate.h"
#include "fusion/bucket.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ringsync {
namespace {

Problem make_problem(int collective, std::vector<size_t> counts, int root, bool is_in_place) {
  const int size = static_cast<int>(counts.size());
  return {static_cast<Collective>(collective), 0, size, std::move(counts), root, is_in_place};
}

ByteArray copy_bytes(const std::vector<std::byte>& bytes) {
  const auto copy = std::make_shared<std::vector<std::byte>>(bytes);
  return wrap_bytes({copy, copy->data()}, bytes.size());
}

std::tuple<std::vector<ByteArray>, std::vector<size_t>> run_simulation(
    const std::string& algorithm, const Problem& problem, const std::vector<AnyArray>& inputs,
    int64_t divisor, size_t segment_bytes, uint64_t seed) {
  std::vector<std::vector<std::byte>> buffers;
  Dtype dtype = Dtype::kFloat32;
  for (const AnyArray& input : inputs) {
    const ArrayView view = view_of(input);
    dtype = view.dtype;
    buffers.emplace_back(view.bytes.begin(), view.bytes.end());
  }
  const Simulation simulation =
      simulate(algorithm_named(algorithm), problem, dtype, divisor, buffers, segment_bytes, seed);
  std::vector<ByteArray> outputs;
  for (const auto& output : simulation.outputs) outputs.push_back(copy_bytes(output));
  return {std::move(outputs), simulation.elements};
}

}  // namespace

void bind_schedule(nb::module_& module) {
  nb::class_<Problem>(module, "Problem", "One collective call, as all ranks see it.")
      .def(nb::new_(&make_problem), "collective"_a, "counts"_a, "root"_a = 0,
           "is_in_place"_a = false);
  module.def("algorithm_names", &algorithm_names);
  module.def(
      "applies",
      [](const std::string& algorithm, const Problem& problem) {
        return algorithm_named(algorithm).applies(problem);
      },
      "algorithm"_a, "problem"_a);
  module.def(
      "choose", [](const Problem& problem) { return std::string(choose(problem, "").name()); },
      "problem"_a);
  module.def(
      "cost_elements",
      [](const std::string& algorithm, const Problem& problem) {
        return algorithm_named(algorithm).cost(problem).elements;
      },
      "algorithm"_a, "problem"_a, "Most elements that any rank sends, as the algorithm states.");
  module.def(
      "find_race",
      [](const std::string& algorithm, const Problem& problem) {
        return find_race(build_all(algorithm_named(algorithm), problem), problem.is_in_place);
      },
      "algorithm"_a, "problem"_a, "The first race of the schedules, in words; empty if none.");
  module.def("simulate", &run_simulation, "algorithm"_a, "problem"_a, "inputs"_a, "divisor"_a,
             "segment_bytes"_a, "seed"_a,
             "Outputs and sent elements of all ranks, run in memory in a random order.");
  module.def("assign_buckets", &assign_buckets, "sizes_bytes"_a, "limit_bytes"_a, "least"_a);
}

}  // namespace ringsync
