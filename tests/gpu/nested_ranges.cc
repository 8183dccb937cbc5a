// Ranges as the core opens them, for a test to look at what reaches a plug-in.

#include "device/plugin_range.h"

extern "C" void nest(const RsDeviceApi* api) {
  const ringsync::PluginRange outer(*api, "run");
  {
    const ringsync::PluginRange inner(*api, "pack");
  }
  const ringsync::PluginRange refused(*api, nullptr);
}
