#pragma once

// Runs one rank's route over its connections, segment by segment, without ever blocking. It knows
// no algorithm and no transport; who waits when it is blocked is the engine's matter.

#include <memory>
#include <optional>
#include <vector>

#include "base/dtype.h"
#include "collective/route.h"
#include "device/reduction.h"
#include "transport/transport.h"

namespace ringsync {

/// Memory of one rank for one run. `output` may be `input`.
struct Buffers {
  MutableByteSpan input;
  MutableByteSpan output;
};

/// What a run needs beside its route; all of it outlives the run.
struct RunContext {
  int rank = 0;
  Dtype dtype = Dtype::kFloat32;
  Reduction reduction;
  /// Own buffers at [rank], and in place the peers'; else empty there.
  std::vector<Buffers> buffers;
  /// In place: the peers' buffers are addresses in their processes, reached through connections.
  bool is_remote = false;
  /// By rank; null at `rank`.
  std::vector<Connection*> connections;
  Board* board = nullptr;
  /// Where pieces of remote buffers are brought to be summed; kScratchBytes of it.
  MutableByteSpan scratch;
};

/// A piece that is brought from a peer shall still lie in the core's second-level cache (1 MiB, or
/// more) when it is summed, beside the own piece.
inline constexpr size_t kScratchBytes = 256 * 1024;

enum class Progress { kDone, kMoved, kBlocked };

/// One run in flight. One thread at a time.
class Run {
 public:
  Run(std::shared_ptr<const Route> route, RunContext context);

  /// Does what can be done now, at most about a MiB of it, so that one long run does not hold up
  /// what else the engine has to do.
  Progress advance();

  /// Ranks that the last kBlocked advance needed something from.
  const std::vector<int>& blocked_on() const { return blocked_on_; }

 private:
  /// Where a step or a send stands: elements already moved.
  using Cursors = std::vector<size_t>;

  bool advance_sends();
  bool advance_steps();
  bool send_segment(const Send& send, size_t& done);
  template <typename Way>
  bool send_by(Way& way, const Send& send, size_t& done);
  bool apply_segment(const RoutedStep& step, size_t& done);
  bool apply_in_place(const Step& step, size_t& done);
  bool apply_remote(const Step& step, size_t& done);
  bool refused_by(int rank);
  bool exchange_flags();
  bool is_phase_done() const;
  void enter_phase(size_t index);
  Reduction reduction_of(const Step& step) const;
  size_t segment_elements(const RoutedStep& step) const;
  ByteSpan peek(const RoutedStep& step, int rank, size_t bytes) const;
  void release(const RoutedStep& step, int rank) const;
  void block_on(const Send& send);
  MutableByteSpan bytes_of(int rank, const Range& range, size_t first, size_t count) const;

  std::shared_ptr<const Route> route_;
  RunContext context_;
  size_t phase_ = 0;
  Cursors sent_;                    // of the current phase's sends
  Cursors stepped_;                 // of the current phase's steps
  std::vector<char> is_flag_sent_;  // in place, by neighbour, for the current phase
  std::vector<char> is_flag_seen_;
  std::optional<int> refused_by_;  // a remote peer that takes no further part
  size_t budget_bytes_ = 0;
  std::vector<int> blocked_on_;
};

}  // namespace ringsync
