#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "bindings/bind_array.h"
#include "bindings/bindings.h"
#include "bindings/call.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ringsync {
namespace {

template <Form form>
nb::object run_as(BoundEngine& engine, int collective, nb::handle array, nb::handle place,
                  nb::handle name, nb::handle timeout_s, const Terms& terms, size_t group) {
  return run(engine,
             {static_cast<Collective>(collective), array, place, name, timeout_s, terms, group},
             form);
}

template <Form form>
nb::object submit_as(BoundEngine& engine, nb::handle handle_type, int collective, nb::handle array,
                     nb::handle place, nb::handle name, nb::handle timeout_s, const Terms& terms,
                     size_t group) {
  return submit(engine, handle_type,
                {static_cast<Collective>(collective), array, place, name, timeout_s, terms, group},
                form);
}

CodecName codec_named(std::string_view text) {
  CodecName codec{};
  if (text.size() >= codec.size()) {
    throw ConfigError("[engine] the codec's name has " + std::to_string(text.size()) +
                      " bytes; fewer than " + std::to_string(codec.size()) +
                      " are expected. Correct the caller.");
  }
  std::ranges::copy(text, codec.begin());
  return codec;
}

}  // namespace

void bind_calls(nb::module_& module, nb::class_<BoundEngine>& engine) {
  const nb::exception<RefusedError> refused(
      module, "RefusedError", nb::module_::import_("ringsync.errors").attr("ConfigError"));
  nb::class_<Terms>(module, "Terms", "What a call asks for beside its array.")
      .def(
          "__init__",
          [](Terms* terms, int op, int root, int peer, std::vector<uint64_t> splits,
             double prescale, double postscale, const std::string& codec, double scaled_by,
             uint64_t step) {
            std::construct_at(terms, static_cast<ReduceOp>(op), root, peer, std::move(splits),
                              prescale, postscale, codec_named(codec), scaled_by, step);
          },
          "op"_a = 1, "root"_a = 0, "peer"_a = kAllRanks, "splits"_a = std::vector<uint64_t>{},
          "prescale"_a = 1.0, "postscale"_a = 1.0, "codec"_a = "", "scaled_by"_a = 1.0,
          "step"_a = 0);
  engine
      .def("run", &run_as<Form::kSingle>, "collective"_a, "array"_a.none(), "place"_a,
           "name"_a.none(), "timeout_s"_a.none(), "terms"_a, "group"_a = kWorld,
           "Perform a call on this thread where nothing else is going on, and return its result.")
      .def("run_all", &run_as<Form::kList>, "collective"_a, "arrays"_a, "place"_a, "name"_a.none(),
           "timeout_s"_a.none(), "terms"_a, "group"_a = kWorld,
           "Like run, for each array of a list, handed over in one stroke, or none.")
      .def("submit", &submit_as<Form::kSingle>, "handle_type"_a, "collective"_a, "array"_a.none(),
           "place"_a, "name"_a.none(), "timeout_s"_a.none(), "terms"_a, "group"_a = kWorld,
           "Queue a call and return its handle, of `handle_type`, at once.")
      .def("submit_all", &submit_as<Form::kList>, "handle_type"_a, "collective"_a, "arrays"_a,
           "place"_a, "name"_a.none(), "timeout_s"_a.none(), "terms"_a, "group"_a = kWorld,
           "Like submit, for each array of a list, handed over in one stroke, or none.");
}

}  // namespace ringsync
