#pragma once

// What stands between a call of the table and exceptions.

#include "device/plugin_abi.h"

namespace ringsync::hostsim {

/// No exception crosses the table; those that can come are of memory and threads.
template <typename Call>
RsStatus guarded(const Call& call) noexcept {
  try {
    return call();
  } catch (...) {  // its kind would not help: the status has one word for all
    return kRsUnexpected;
  }
}

}  // namespace ringsync::hostsim
