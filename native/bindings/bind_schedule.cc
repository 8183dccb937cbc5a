#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <functional>
#include <tuple>

#include "base/error.h"
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

Problem make_problem(int collective, std::vector<size_t> counts, int root, bool is_in_place,
                     size_t row_elements, bool is_narrow) {
  const int size = static_cast<int>(counts.size());
  if (collective < 0 || collective > static_cast<int>(Collective::kAlltoall) || size == 0 ||
      root < 0 || root >= size) {
    throw ConfigError("[problem] collective " + std::to_string(collective) + ", root " +
                      std::to_string(root) + " and " + std::to_string(size) +
                      " ranks make no problem. Give one count per rank.");
  }
  if (static_cast<Collective>(collective) != Collective::kAllgather &&
      static_cast<Collective>(collective) != Collective::kAlltoall &&
      std::ranges::adjacent_find(counts, std::ranges::not_equal_to()) != counts.end()) {
    throw ConfigError(
        "[problem] counts differ between ranks; only allgather and alltoall allow it.");
  }
  Problem problem{static_cast<Collective>(collective),
                  0,
                  size,
                  std::move(counts),
                  root,
                  is_in_place,
                  {},
                  is_narrow};
  if (row_elements == 0 || problem.counts[0] % row_elements != 0) {
    throw ConfigError("[problem] " + std::to_string(problem.counts[0]) +
                      " elements are no rows of " + std::to_string(row_elements) +
                      ". Give whole rows.");
  }
  if (problem.collective == Collective::kReduceScatter) {
    problem.parts = cut_rows(problem.counts[0] / row_elements, row_elements, size);
  }
  if (problem.collective == Collective::kAlltoall) {
    for (const size_t count : problem.counts) {
      const std::vector<size_t> cut = cut_rows(count, 1, size);
      problem.parts.insert(problem.parts.end(), cut.begin(), cut.end());
    }
  }
  return problem;
}

ByteArray copy_bytes(const std::vector<std::byte>& bytes) {
  const auto copy = std::make_shared<std::vector<std::byte>>(bytes);
  return wrap_bytes({copy, copy->data()}, bytes.size());
}

constexpr size_t kLargestItemBytes = 8;

const Algorithm& applicable(const std::string& name, const Problem& problem) {
  const Algorithm& algorithm = algorithm_named(name);
  if (!algorithm.applies(problem)) {
    throw ConfigError("[algorithm] '" + name + "' does not apply to " +
                      to_string(problem.collective) + ".");
  }
  return algorithm;
}

std::tuple<std::vector<ByteArray>, std::vector<size_t>> run_simulation(
    const std::string& algorithm, const Problem& problem, const std::vector<nb::object>& inputs,
    int64_t divisor, size_t segment_bytes, uint64_t seed, bool is_remote) {
  const Algorithm& chosen = applicable(algorithm, problem);
  if (inputs.size() != problem.counts.size() || segment_bytes < kLargestItemBytes) {
    throw ConfigError("[simulate] one input per rank and segments of 8 bytes are needed.");
  }
  std::vector<std::vector<std::byte>> buffers;
  const Dtype dtype = view_of(inputs[0], Access::kRead).dtype;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ArrayView view = view_of(inputs[i], Access::kRead);
    if (view.dtype != dtype || view.bytes.size() != problem.counts[i] * size_bytes(dtype)) {
      throw ConfigError("[simulate] input " + std::to_string(i) +
                        " differs from the problem's count or from input 0's dtype.");
    }
    buffers.emplace_back(view.bytes.begin(), view.bytes.end());
  }
  const Simulation simulation = simulate(chosen, problem, dtype, {.divisor = divisor}, buffers,
                                         segment_bytes, seed, is_remote);
  std::vector<ByteArray> outputs;
  outputs.reserve(simulation.outputs.size());
  for (const auto& output : simulation.outputs) outputs.push_back(copy_bytes(output));
  return {std::move(outputs), simulation.elements};
}

}  // namespace

void bind_schedule(nb::module_& module) {
  nb::class_<Problem>(module, "Problem", "One collective call, as all ranks see it.")
      .def(nb::new_(&make_problem), "collective"_a, "counts"_a, "root"_a = 0,
           "is_in_place"_a = false, "row_elements"_a = 1, "is_narrow"_a = false);
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
        return applicable(algorithm, problem).cost(problem).elements;
      },
      "algorithm"_a, "problem"_a, "Most elements that any rank sends, as the algorithm states.");
  module.def(
      "find_race",
      [](const std::string& algorithm, const Problem& problem) {
        return find_race(build_all(applicable(algorithm, problem), problem), problem.is_in_place);
      },
      "algorithm"_a, "problem"_a, "The first race of the schedules, in words; empty if none.");
  module.def("simulate", &run_simulation, "algorithm"_a, "problem"_a, "inputs"_a, "divisor"_a,
             "segment_bytes"_a, "seed"_a, "is_remote"_a = false,
             "Outputs and sent elements of all ranks, run in memory in a random order.");
  module.def("assign_buckets", &assign_buckets, "sizes_bytes"_a, "limit_bytes"_a, "least"_a);
}

}  // namespace ringsync
