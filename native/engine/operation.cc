#include "engine/operation.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace ringsync {
namespace {

Reduction reduction_of(const Request& request, int size) {
  return {.op = request.op, .divisor = request.op == ReduceOp::kAverage ? size : 1};
}

/// Memory for a result; aligned for vector loads.
std::shared_ptr<std::byte> make_result(size_t bytes) {
  const size_t size = round_up(std::max<size_t>(bytes, 1), kCacheLineBytes);
  auto* const memory = static_cast<std::byte*>(std::aligned_alloc(kCacheLineBytes, size));
  if (memory == nullptr) {
    throw Error("[allgather] no memory for a result of " + std::to_string(bytes) +
                " bytes. Gather smaller parts.");
  }
  return {memory, &std::free};
}

}  // namespace

Operation::Operation(Request request, std::shared_ptr<Handle> handle)
    : request_(std::move(request)), handle_(std::move(handle)) {}

Progress Operation::advance(const GroupView& group, uint64_t sequence) {
  bool has_moved = false;
  if (!run_) {
    has_moved = announce(group, sequence);
    has_moved |= collect(group);
    if (!std::ranges::all_of(is_seen_, [](char seen) { return seen != 0; }) ||
        !std::ranges::all_of(is_announced_, [](char sent) { return sent != 0; })) {
      return has_moved ? Progress::kMoved : Progress::kBlocked;
    }
    handle_->mutable_times().agreed_ns = now_ns();
    if (const auto mismatch = find_mismatch(headers_)) throw MismatchError(*mismatch);
    start_run(group);
    has_moved = true;
  }
  const Progress progress = run_->advance();
  return progress == Progress::kBlocked && has_moved ? Progress::kMoved : progress;
}

std::vector<int> Operation::blocked_on() const {
  if (run_) return run_->blocked_on();
  std::vector<int> ranks;
  for (size_t i = 0; i < is_seen_.size(); ++i) {
    if (!is_seen_[i] || !is_announced_[i]) ranks.push_back(static_cast<int>(i));
  }
  return ranks;
}

bool Operation::announce(const GroupView& group, uint64_t sequence) {
  const auto self = static_cast<size_t>(group.rank);
  if (headers_.empty()) {
    const auto size = static_cast<size_t>(group.size);
    headers_.resize(size);
    is_announced_.assign(size, 0);
    is_seen_.assign(size, 0);
    headers_[self] =
        make_header(request_, sequence, group.transport.locate(request_.data), group.algorithm);
    is_announced_[self] = is_seen_[self] = 1;
    handle_->mutable_times().started_ns = now_ns();
  }
  bool has_moved = false;
  for (size_t i = 0; i < is_announced_.size(); ++i) {
    if (is_announced_[i]) continue;
    const MutableByteSpan room = group.connections[i]->reserve(sizeof(Header));
    if (room.empty()) continue;
    std::memcpy(room.data(), &headers_[self], sizeof(Header));
    group.connections[i]->commit();
    is_announced_[i] = 1;
    has_moved = true;
  }
  return has_moved;
}

bool Operation::collect(const GroupView& group) {
  bool has_moved = false;
  for (size_t i = 0; i < is_seen_.size(); ++i) {
    if (is_seen_[i]) continue;
    const ByteSpan arrived = group.connections[i]->peek(sizeof(Header));
    if (arrived.empty()) continue;
    std::memcpy(&headers_[i], arrived.data(), sizeof(Header));
    group.connections[i]->release();
    is_seen_[i] = 1;
    has_moved = true;
  }
  return has_moved;
}

void Operation::start_run(const GroupView& group) {
  const Problem problem = make_problem(group);
  RunContext context{group.rank,
                     request_.dtype,
                     reduction_of(request_, group.size),
                     make_buffers(group, problem),
                     {}};
  for (const auto& connection : group.connections) context.connections.push_back(connection.get());
  run_.emplace(group.route_of(problem), std::move(context));
}

Problem Operation::make_problem(const GroupView& group) const {
  Problem problem{request_.collective, group.rank, group.size, {}, request_.root, true};
  for (const Header& header : headers_) {
    problem.counts.push_back(header.count);
    // In place only if all are: one private buffer sends every rank down the private path.
    problem.is_in_place &= header.registration.id != 0;
  }
  return problem;
}

MutableByteSpan Operation::make_output() {
  if (request_.collective != Collective::kAllgather) return request_.data;
  Result result;
  result.shape = request_.shape;
  size_t bytes = 0;
  int64_t rows = 0;
  for (const Header& header : headers_) {
    bytes += header.count * size_bytes(request_.dtype);
    rows += header.shape[0];
  }
  result.shape[0] = rows;
  result.data = make_result(bytes);
  const MutableByteSpan output{result.data.get(), bytes};
  handle_->set_result(std::move(result));
  return output;
}

std::vector<Buffers> Operation::make_buffers(const GroupView& group, const Problem& problem) {
  std::vector<Buffers> buffers(static_cast<size_t>(group.size));
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (static_cast<int>(i) == group.rank) {
      buffers[i] = {request_.data, make_output()};
    } else if (problem.is_in_place) {
      const Registration place = headers_[i].registration;
      const size_t bytes = headers_[i].count * size_bytes(request_.dtype);
      const MutableByteSpan window = group.connections[i]->window(place.id);
      if (place.offset > window.size() || bytes > window.size() - place.offset) {
        throw Error("[" + to_string(request_.collective) + "] '" + request_.name + "': rank " +
                    std::to_string(i) +
                    " names memory beyond its registration. Run the same ringsync version on "
                    "all ranks.");
      }
      buffers[i] = {window.subspan(place.offset, bytes), window.subspan(place.offset, bytes)};
    }
  }
  return buffers;
}

}  // namespace ringsync
