#pragma once

// The list of transports. A new one is one line in registry.cc.

#include <memory>
#include <string>
#include <vector>

#include "rendezvous/store.h"
#include "transport/transport.h"

namespace ringsync {

std::vector<std::string> transport_names();

/// Throws ConfigError for an unknown name and RendezvousError when the ranks do not meet in time.
std::unique_ptr<Transport> make_transport(const std::string& name, Store& store, int rank, int size,
                                          Deadline deadline);

}  // namespace ringsync
