#pragma once

// The calls of the table that keep what a stream is given, to give it again as a whole.

#include "device/plugin_abi.h"

namespace ringsync::hostsim {

RsStatus begin_graph(void* stream);
RsStatus end_graph(void* stream, void** graph);
RsStatus launch_graph(void* graph, void* stream);
RsStatus destroy_graph(void* graph);

}  // namespace ringsync::hostsim
