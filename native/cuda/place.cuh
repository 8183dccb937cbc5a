#pragma once

// Where a thread of a launch stands, for plugin_bodies.h.

#include "device/plugin_bodies.h"

namespace ringsync::cuda {

/// Divisions once per thread; lanes are a power of two in every launch of ours.
inline __device__ plugin::Place place_of(uint32_t lanes) {
  const uint32_t teams = blockDim.x / lanes;
  return {blockIdx.x * teams + threadIdx.x / lanes, gridDim.x * teams, threadIdx.x % lanes, lanes};
}

}  // namespace ringsync::cuda
