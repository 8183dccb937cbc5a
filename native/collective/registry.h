#pragma once

// The list of algorithms and the choice among them. A new one is one line in registry.cc.

#include <string>
#include <vector>

#include "collective/algorithm.h"

namespace ringsync {

std::vector<std::string> algorithm_names();

/// Throws ConfigError for an unknown name.
const Algorithm& algorithm_named(const std::string& name);

/// The cheapest algorithm that applies; `preferred` where it is not empty and applies. Uses only
/// facts that are equal on all ranks, so all ranks choose alike. Throws ConfigError.
const Algorithm& choose(const Problem& problem, const std::string& preferred);

}  // namespace ringsync
