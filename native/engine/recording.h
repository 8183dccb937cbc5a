#pragma once

// What the timeline shows of a group's operations, on the engine's own lane.

#include <cstdint>

#include "base/event_log.h"
#include "engine/operation.h"

namespace ringsync {

/// Ranks have looked since `began_ns` for an order of their calls, and found it now.
void record_order(EventLog& events, int64_t began_ns);

/// `operation` is done: how long it took to agree on it, and to run.
void record_done(EventLog& events, const Operation& operation);

}  // namespace ringsync
