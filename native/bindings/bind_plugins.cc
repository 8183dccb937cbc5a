#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <string>
#include <utility>

#include "bindings/bindings.h"
#include "device/plugin.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ringsync {
namespace {

std::string path_of(const std::string& kind) { return plugin_path(kind).string(); }

std::pair<int, std::string> count(const std::string& path) {
  const GilRelease release;  // a driver may take seconds to wake up
  const DeviceCount found = count_devices(path);
  return {found.count, found.reason};
}

}  // namespace

void bind_plugins(nb::module_& module) {
  module.def("plugin_path", &path_of, "kind"_a, "Where a plug-in lies if it was built.");
  module.def("count_devices", &count, "path"_a,
             "Devices that a plug-in finds, and why there is none.");
}

}  // namespace ringsync
