#pragma once

// The algorithms' makers, for the registry alone.

#include <memory>

#include "collective/algorithm.h"

namespace ringsync {

std::unique_ptr<Algorithm> make_ring();
std::unique_ptr<Algorithm> make_direct();
std::unique_ptr<Algorithm> make_halving_doubling();
std::unique_ptr<Algorithm> make_direct_broadcast();
std::unique_ptr<Algorithm> make_tree();
std::unique_ptr<Algorithm> make_direct_allgather();
std::unique_ptr<Algorithm> make_direct_reduce_scatter();
std::unique_ptr<Algorithm> make_direct_alltoall();

}  // namespace ringsync
