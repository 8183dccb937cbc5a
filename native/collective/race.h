#pragma once

// The proof that a set of schedules has no race: looked for range by range, not sampled.

#include <string>
#include <vector>

#include "collective/schedule.h"

namespace ringsync {

/// Names the first pair of accesses of one phase in which a rank writes what another touches, or a
/// step that writes to a peer although buffers are private; empty when there is none.
std::string find_race(const std::vector<Schedule>& schedules, bool is_in_place);

}  // namespace ringsync
