#pragma once

// How the ranks of one host meet in a directory: rank 0 serves the store there, the others wait for
// its socket to appear. Nothing polls, and no file is left once all are connected.

#include <memory>
#include <string>

#include "rendezvous/local_server.h"
#include "rendezvous/local_store.h"

namespace ringsync {

struct Meeting {
  std::unique_ptr<LocalServer> server;  // rank 0 only; lives as long as the job
  std::unique_ptr<LocalStore> store;
};

/// Meets the other ranks in `directory`, which is created with mode 0700 if it is missing and must
/// belong to this user alone. Throws RendezvousError naming the missing ranks at the deadline.
/// Later requests to the store take `reply_s` at most.
Meeting meet(const std::string& directory, int rank, int size, double timeout_s, double reply_s,
             const OnSignal& on_signal);

}  // namespace ringsync
