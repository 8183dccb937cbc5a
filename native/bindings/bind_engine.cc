#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/bind_array.h"
#include "bindings/bindings.h"
#include "bindings/bound_engine.h"
#include "transport/registry.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ringsync {
namespace {

using EventTuple = std::tuple<std::string, std::string, int64_t, int64_t, std::string, uint64_t>;

std::vector<EventTuple> take_events(BoundEngine& engine) {
  std::vector<EventTuple> tuples;
  for (Event& event : engine.get().events().take()) {
    tuples.emplace_back(std::move(event.lane), std::move(event.name), event.start_ns, event.end_ns,
                        std::move(event.tensor), event.bytes);
  }
  return tuples;
}

}  // namespace

void bind_engine(nb::module_& module) {
  nb::class_<BoundEngine> engine(module, "Engine", "The engine of one rank.");
  engine
      .def(nb::init<std::shared_ptr<Store>, int, int, const std::string&, std::string, double,
                    double, double, double>(),
           "store"_a, "rank"_a, "size"_a, "transport"_a, "algorithm"_a = "",
           "caller_spin_us"_a = 0.0, "engine_spin_us"_a = 0.0, "timeout_s"_a = 30.0,
           "call_timeout_s"_a = 30.0)
      .def(
          "allocate",
          [](BoundEngine& engine, size_t bytes) {
            std::shared_ptr<std::byte> memory;
            {
              const GilRelease release;
              memory = engine.get().allocate(bytes);
            }
            return wrap_bytes(std::move(memory), bytes);
          },
          "size_bytes"_a, "Zeroed bytes in registered memory.")
      .def(
          "can_reach", [](BoundEngine& engine) { return engine.get().can_reach(); },
          "This rank may read and write the private memory of every other.")
      .def(
          "set_reach_from",
          [](BoundEngine& engine, uint64_t bytes) { engine.get().set_reach_from(bytes); },
          "size_bytes"_a,
          "From now on private arrays of this size or more are reached in place, where all ranks "
          "can and none names more.")
      .def(
          "shutdown",
          [](BoundEngine& engine, const std::string& cause) {
            const GilRelease release;
            engine.get().shutdown(cause);
          },
          "cause"_a)
      .def("start_events", [](BoundEngine& engine) { engine.get().events().start(); })
      .def("stop_events", [](BoundEngine& engine) { engine.get().events().stop(); })
      .def("take_events", &take_events,
           "Recorded events: lane, name, start_ns, end_ns, tensor, bytes.")
      .def("dropped_events", [](BoundEngine& engine) { return engine.get().events().dropped(); })
      .def(
          "record_event",
          [](BoundEngine& engine, const std::string& lane, const std::string& name,
             int64_t start_ns, int64_t end_ns, const std::string& tensor, uint64_t bytes) {
            engine.get().events().record(lane, name, start_ns, end_ns, tensor, bytes);
          },
          "lane"_a, "name"_a, "start_ns"_a, "end_ns"_a, "tensor"_a, "size_bytes"_a);
  bind_calls(module, engine);
  module.def("transport_names", &transport_names);
}

}  // namespace ringsync
