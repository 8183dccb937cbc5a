#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>

#include "base/error.h"
#include "bindings/bind_array.h"
#include "bindings/bindings.h"
#include "device/host_reduce.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ringsync {
namespace {

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const Kernel& kernel : runnable_kernels()) names.emplace_back(kernel.name);
  return names;
}

Kernel kernel_named(const std::string& name) {
  for (const Kernel& kernel : runnable_kernels()) {
    if (kernel.name == name) return kernel;
  }
  throw ConfigError("[kernel] '" + name +
                    "' is none that this processor runs. Take one of kernel_names().");
}

/// Reduces copies of the inputs, in place: the first `destinations` of them are written.
std::vector<ByteArray> reduce_with(const std::string& kernel, const std::vector<nb::object>& inputs,
                                   int op, double factor, int64_t divisor, size_t destinations) {
  const Kernel chosen = kernel_named(kernel);
  if (destinations == 0 || destinations > inputs.size()) {
    throw ConfigError("[kernel] " + std::to_string(inputs.size()) + " inputs hold no " +
                      std::to_string(destinations) + " results. Ask for 1 to all of them.");
  }
  std::vector<std::shared_ptr<std::vector<std::byte>>> copies;
  std::vector<MutableByteSpan> targets;
  std::vector<ByteSpan> sources;
  const ArrayView first = view_of(inputs[0], Access::kRead);
  for (const nb::object& input : inputs) {
    const ArrayView view = view_of(input, Access::kRead);
    if (view.dtype != first.dtype || view.bytes.size() != first.bytes.size()) {
      throw ConfigError("[kernel] input " + std::to_string(copies.size()) +
                        " differs from input 0 in dtype or length. Give equal ones.");
    }
    copies.push_back(
        std::make_shared<std::vector<std::byte>>(view.bytes.begin(), view.bytes.end()));
    sources.emplace_back(*copies.back());
    if (targets.size() < destinations) targets.emplace_back(*copies.back());
  }
  reduce(chosen, first.dtype, {static_cast<ReduceOp>(op), factor, divisor}, targets, sources);
  std::vector<ByteArray> results;
  results.reserve(destinations);
  for (size_t i = 0; i < destinations; ++i) {
    results.push_back(wrap_bytes({copies[i], copies[i]->data()}, copies[i]->size()));
  }
  return results;
}

void copy(nb::handle to, nb::handle from, const std::string& kernel) {
  const ArrayView target = view_of(to, Access::kWrite);
  const ArrayView source = view_of(from, Access::kRead);
  if (target.dtype != source.dtype || target.bytes.size() != source.bytes.size()) {
    throw ConfigError("[kernel] " + std::to_string(source.bytes.size()) +
                      " bytes cannot be copied to an array of " +
                      std::to_string(target.bytes.size()) +
                      ", or dtypes differ. Give arrays alike.");
  }
  const Kernel chosen = kernel.empty() ? runnable_kernels().front() : kernel_named(kernel);
  const GilRelease release;
  copy_past_caches(chosen, target.bytes, source.bytes);
}

}  // namespace

void bind_kernels(nb::module_& module) {
  module.def("kernel_names", &kernel_names, "Those that this processor runs, the widest first.");
  module.def("reduce_with", &reduce_with, "kernel"_a, "inputs"_a, "op"_a, "factor"_a = 1.0,
             "divisor"_a = 1, "destinations"_a = 1,
             "Bytes of equal results of one reduction, written over copies of the first inputs.");
  module.def("copy_past_caches", &copy, "to"_a, "source"_a, "kernel"_a = "",
             "Copy an array to another of its length and dtype, which nobody looks at soon.");
}

}  // namespace ringsync
