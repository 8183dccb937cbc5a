#pragma once

// Calls at the door: what Python asks for becomes a request, and the engine's answer a result or a
// handle.

#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bindings/bound_engine.h"
#include "engine/request.h"

namespace ringsync {

/// What a call asks for beside its array.
struct Terms {
  ReduceOp op = ReduceOp::kSum;
  int root = 0;
  int peer = kAllRanks;
  std::vector<uint64_t> splits;
  double prescale = 1;
  double postscale = 1;
  CodecName codec{};
  double scaled_by = 1;
  uint64_t step = 0;
};

/// One call as it comes from Python.
struct Call {
  Collective collective = Collective::kBarrier;
  nanobind::handle array;  // or a list of them; not looked at for a barrier
  nanobind::handle place;  // the public function's name
  nanobind::handle name;   // None: ranks meet by order
  nanobind::handle timeout_s;
  const Terms& terms;
  size_t group = kWorld;  // its number

  nanobind::handle label() const { return name.is_none() ? place : name; }
};

/// One array, or a list of them that is handed over in one stroke: `name.0`, `name.1` and so on
/// where the caller chose a name.
enum class Form { kSingle, kList };

/// Performs a call on this thread where nothing else is going on, waits for it whatever becomes of
/// it, and returns its result. Throws RefusedError before anything has happened.
nanobind::object run(BoundEngine& engine, const Call& call, Form form);

/// Queues a call and returns its handle, of `handle_type`, at once. Throws RefusedError likewise.
nanobind::object submit(BoundEngine& engine, nanobind::handle handle_type, const Call& call,
                        Form form);

}  // namespace ringsync
