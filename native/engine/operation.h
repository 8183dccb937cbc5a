#pragma once

// One request on its way: announced to all peers, agreed on, run. It never blocks.

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "collective/executor.h"
#include "engine/handle.h"
#include "engine/header.h"
#include "engine/request.h"

namespace ringsync {

/// What an operation uses of its group.
struct GroupView {
  int rank = 0;
  int size = 1;
  /// By position; null at `rank`.
  const std::vector<std::unique_ptr<Connection>>& connections;
  const Transport& transport;
  /// Algorithm to prefer; empty: the cheapest.
  const std::string& algorithm;
  /// The route of a problem, computed once and kept.
  std::function<std::shared_ptr<const Route>(const Problem&)> route_of;
};

/// One thread at a time.
class Operation {
 public:
  Operation(Request request, std::shared_ptr<Handle> handle);

  const Request& request() const { return request_; }
  Handle& handle() const { return *handle_; }

  /// Throws MismatchError once all headers are here and disagree; no data has moved then, and all
  /// ranks throw alike. Throws Error when memory or a peer's window cannot be had.
  Progress advance(const GroupView& group, uint64_t sequence);

  /// Ranks without which it cannot go on.
  std::vector<int> blocked_on() const;

 private:
  bool announce(const GroupView& group, uint64_t sequence);
  bool collect(const GroupView& group);
  void start_run(const GroupView& group);
  Problem make_problem(const GroupView& group) const;
  MutableByteSpan make_output();
  std::vector<Buffers> make_buffers(const GroupView& group, const Problem& problem);

  Request request_;
  std::shared_ptr<Handle> handle_;
  std::vector<Header> headers_;     // by rank, once seen
  std::vector<char> is_announced_;  // by rank
  std::vector<char> is_seen_;       // by rank
  std::optional<Run> run_;
};

}  // namespace ringsync
