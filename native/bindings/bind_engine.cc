#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/room.h"
#include "bindings/bind_array.h"
#include "bindings/bindings.h"
#include "bindings/bound_engine.h"
#include "engine/failures.h"
#include "transport/registry.h"
#include "transport/stacks.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ringsync {
namespace {

constexpr double kForEver = std::numeric_limits<double>::infinity();

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
      .def(
          "__init__",
          [](BoundEngine* engine, std::shared_ptr<Store> store, int rank, int size,
             const std::string& transport, std::string algorithm, double caller_spin_us,
             double engine_spin_us, double timeout_s, double call_timeout_s, double stall_warn_s,
             double stall_abort_s, const std::string& device_plugin, bool has_nccl,
             const std::string& nccl_library, const std::vector<std::string>& nccl_candidates,
             std::shared_ptr<KeptMemory> kept_memory) {
            EngineConfig config{
                std::move(algorithm),
                caller_spin_us,
                engine_spin_us,
                StallLimits{stall_warn_s, stall_abort_s},
                device_plugin,
                {has_nccl, nccl_library, {nccl_candidates.begin(), nccl_candidates.end()}},
                std::move(kept_memory)};
            std::construct_at(engine, std::move(store), rank, size, transport, std::move(config),
                              timeout_s, call_timeout_s);
          },
          "store"_a, "rank"_a, "size"_a, "transport"_a, "algorithm"_a = "",
          "caller_spin_us"_a = 0.0, "engine_spin_us"_a = 0.0, "timeout_s"_a = 30.0,
          "call_timeout_s"_a = 30.0, "stall_warn_s"_a = kForEver, "stall_abort_s"_a = kForEver,
          "device_plugin"_a = "", "has_nccl"_a = false, "nccl_library"_a = "",
          "nccl_candidates"_a = std::vector<std::string>(), "kept_memory"_a = nb::none())
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
          "stacks_fd", [](BoundEngine& engine) { return engine.get().stacks_fd(); },
          "Where this process has to write its stacks at STACKS_SIGNAL; -1 if nobody asks.")
      .def(
          "in_flight",
          [](BoundEngine& engine) {
            const InFlight found = engine.get().in_flight();
            return std::tuple(found.count, found.name);
          },
          "How many operations are not done, and the name of one, if any has one.")
      .def(
          "settle",
          [](BoundEngine& engine, double timeout_s) {
            return engine.keeper()->settle(deadline_after(timeout_s));
          },
          "timeout_s"_a,
          "Wait for what devices do by themselves, and raise the first error; False when the time "
          "passed first.")
      .def(
          "adopt_nccl",
          [](BoundEngine& engine, size_t group, uintptr_t communicator, const std::string& maker) {
            const GilRelease release;
            engine.get().adopt_nccl(group, reinterpret_cast<nccl::Comm*>(communicator), maker);
          },
          "group"_a, "communicator"_a, "maker"_a,
          "Have a group use a communicator that the library of that file has made.")
      .def(
          "say_last_words",
          [](BoundEngine& engine, const std::string& words) { engine.get().say_last_words(words); },
          "words"_a, "Say to all peers what ends this rank's program, before it ends.")
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
  bind_groups(module, engine);
  bind_calls(module, engine);
  module.attr("STACKS_SIGNAL") = stacks_signal();
  module.attr("GAVE_UP") = kGaveUp;
  module.def("transport_names", &transport_names);
  module.def(
      "free_room",
      [](const std::string& meminfo) {
        std::istringstream text(meminfo);
        return free_room(text);
      },
      "meminfo"_a, "Bytes that may be taken, by the text of /proc/meminfo.");
}

}  // namespace ringsync
