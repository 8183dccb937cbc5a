#pragma once

// Flags as words that threads of several processes sleep on.

#include <cstdint>

namespace ringsync::hostsim {

/// Writes and wakes.
void write_flag(uint32_t* flag, uint32_t value);

uint32_t read_flag(const uint32_t* flag);

bool has_reached(const uint32_t* flag, uint32_t value);

/// Sleeps until the flag changes, or a little while.
void wait_for_change(const uint32_t* flag, uint32_t value);

}  // namespace ringsync::hostsim
