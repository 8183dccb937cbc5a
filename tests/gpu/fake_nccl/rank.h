#pragma once

// One rank of a fake communicator: what it is at, and what is still on its streams.

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "device/nccl_abi.h"
#include "device/plugin_abi.h"
#include "meeting.h"

namespace fake_nccl {

struct Rank {
  std::unique_ptr<Meeting> meeting;
  int rank = 0;
  int size = 1;
  /// Its calls return once NCCL has taken them in, and not before.
  bool is_blocking = false;
  std::atomic<bool> is_aborted = false;
  std::atomic<bool> is_ending = false;
  std::atomic<int> state = kInProgress;
  /// So many looks at the state find the last call still in progress.
  std::atomic<int> looks = 0;
  std::atomic<int> in_flight = 0;
  int windows = 0;  // registered and not given back
  /// Its last call has been found taken in.
  std::atomic<bool> is_taken_in = false;
  /// The kind whose first call waits for the other ranks'; below 0: none does.
  std::atomic<int> connecting = -1;
  std::array<bool, kKinds> has_called{};  // by the thread that calls
};

/// What has become of all calls so far. Counts as a look.
Result look_at(Rank& rank);

/// The table of the simulated device, whose streams and memory callers pass.
const RsDeviceApi& device_api();

/// The first call of a kind is taken in once all ranks have made it.
void connect(Rank& rank, Kind kind);

/// Waits until all ranks have come.
void join(Rank& rank);

/// What a call that has begun returns.
Result result_of(Rank& rank);

/// Does the work, which returns false if it has been given up, once the stream comes to it.
Result submit(std::shared_ptr<Rank> rank, Kind kind, std::function<bool(Rank&)> work,
              Stream stream);

}  // namespace fake_nccl

/// Streams keep the rank for what is on them.
struct ringsync::nccl::Comm {
  std::shared_ptr<fake_nccl::Rank> rank;
  std::thread joining;
};
