#include "engine/operation.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <span>
#include <utility>

#include "base/error.h"
#include "device/host_reduce.h"
#include "engine/device_peers.h"

namespace ringsync {
namespace {

/// What a rank sends of one array to all others in an announcement: below it one message costs less
/// than flags before and after reading in place, though all sum it all. 4 ranks on 2 cores, carried
/// and staged: 32 KiB 25 and 29 us, 64 KiB 46 and 34 us.
constexpr size_t kCarriedToAll = 96 * 1024;
/// Likewise of one that need not be copied to be read in place: 2 ranks, 8 KiB 3.8 and 3.6 us, 16
/// KiB 5.0 and 3.4 us, 64 KiB 10.7 and 4.5 us.
constexpr size_t kCarriedIfRegistered = 12 * 1024;

/// One private array sends every rank down the private path.
bool is_registered(const std::vector<Header>& headers) {
  return std::ranges::all_of(headers,
                             [](const Header& header) { return header.registration.id != 0; });
}

size_t largest_bytes(const std::vector<Header>& headers, Dtype dtype) {
  size_t count = 0;
  for (const Header& header : headers) count = std::max<size_t>(count, header.count);
  return count * size_bytes(dtype);
}

/// Memory for a result; aligned for vector loads.
std::shared_ptr<std::byte> make_result(size_t bytes, Collective collective) {
  const size_t size = round_up(std::max<size_t>(bytes, 1), kCacheLineBytes);
  auto* const memory = static_cast<std::byte*>(std::aligned_alloc(kCacheLineBytes, size));
  if (memory == nullptr) {
    throw Error("[" + to_string(collective) + "] no memory for a result of " +
                std::to_string(bytes) + " bytes. Pass smaller arrays.");
  }
  return {memory, &std::free};
}

}  // namespace

size_t GroupView::carried_limit_bytes() const { return board.segment_bytes() - sizeof(Header); }

std::vector<int> GroupView::others() const {
  std::vector<int> others;
  for (int other = 0; other < size; ++other) {
    if (other != rank) others.push_back(other);
  }
  return others;
}

bool Operation::is_carriable(const GroupView& group) const {
  if (!is_on_host()) {
    return site_ >= Site::kDevice && request_.collective == Collective::kAllreduce &&
           request_.data.size() <= group.bucket_bytes;
  }
  if (wants_unbuilt(request_) || !is_here()) return false;
  if (request_.collective == Collective::kBarrier) return true;  // the announcement is all there is
  const auto peers = static_cast<size_t>(group.size - 1);
  const bool is_free_allreduce =
      request_.collective == Collective::kAllreduce && group.algorithm.empty() && peers > 0;
  if (request_.collective == Collective::kSend) {
    return request_.data.size() <= group.carried_limit_bytes();
  }
  if (!is_free_allreduce) return false;
  const size_t size = request_.data.size();
  return size <= std::min(group.carried_limit_bytes(), kCarriedToAll / peers) &&
         (size <= kCarriedIfRegistered || group.transport.locate(values()).id == 0);
}

bool Operation::goes_with(const Operation& first) const {
  if (is_on_host() != first.is_on_host()) return false;
  if (is_on_host()) return is_here();
  if (site_ != first.site()) return false;
  const Request& other = first.request();
  const bool is_like = request_.dtype == other.dtype && request_.op == other.op &&
                       request_.prescale == other.prescale && request_.postscale == other.postscale;
  // The first one shall not wait for the values of others.
  return !is_shared_ && is_like && request_.place->device->is_reached(request_.place->ready);
}

size_t Operation::contribution_bytes(int rank) const {
  const bool is_receiver = request_.collective == Collective::kSend && request_.root != rank;
  return is_receiver || !is_on_host() ? 0 : request_.data.size();
}

Operation::Operation(Request&& request, std::shared_ptr<Handle> handle)
    : request_(std::move(request)),
      key_(key_of(request_)),
      signature_(signature_of(request_)),
      handle_(std::move(handle)),
      times_{.submitted_ns = request_.submitted_ns},
      renewed_ns_(request_.submitted_ns) {}

void Operation::enter(const GroupView& group) {
  if (request_.device == DeviceKind::kCpu || !is_served(request_)) return;
  const bool is_broadcast = request_.collective == Collective::kBroadcast;
  const bool is_given_to = request_.is_receiver || (is_broadcast && request_.root != group.rank);
  const bool is_allreduce = request_.collective == Collective::kAllreduce;
  // A rank that is alone changes nothing by it.
  const bool is_void =
      group.size == 1 &&
      (is_broadcast || (is_allreduce && reduction_of(request_, group.size).factor == 1));
  copy_.emplace(request_.place, request_.data, !is_given_to && !is_void,
                (is_given_to || is_allreduce) && !is_void);
}

void Operation::fetch(bool is_urgent) {
  if (copy_) copy_->fetch(is_urgent);
}

bool Operation::is_here() const {
  if (!copy_) return true;
  return (!is_shared_ || is_next_) && copy_->is_here();
}

bool Operation::settle(Deadline deadline) const {
  if (runs_on_device()) return request_.place->device->wait(*device_work_, deadline);
  return !copy_ || copy_->settle(deadline);
}

Registration Operation::show(const GroupView& group) {
  staged_ = {};
  if (!is_on_host()) return share_at_;
  const Registration place = group.transport.locate(values());
  const size_t size = request_.data.size();
  const bool is_staged = !wants_unbuilt(request_) && place.id == 0 && size > 0 &&
                         request_.collective == Collective::kAllreduce && group.algorithm.empty() &&
                         size <= group.staging.size_bytes() && size < group.reach_from;
  if (!is_staged) return place;
  staged_ = group.staging.lend(values());
  return group.staging.registration();
}

void Operation::start(const GroupView& group, const std::vector<Header>& headers,
                      const std::vector<uint64_t>& splits) {
  const Problem problem = make_problem(group, headers, splits);
  const bool is_remote = problem.is_in_place && !is_registered(headers);
  if (!is_registered(headers)) staged_ = {};  // of no use where another array is private
  if (is_remote) group.scratch.resize(kScratchBytes);
  RunContext context{group.rank,
                     request_.dtype,
                     reduction_of(request_, group.size),
                     make_buffers(group, problem, headers, splits),
                     is_remote,
                     {},
                     nullptr,
                     group.scratch};
  for (const auto& connection : group.connections) context.connections.push_back(connection.get());
  context.board = &group.board;
  run_.emplace(group.route_of(problem), std::move(context));
}

Progress Operation::advance() {
  const Progress progress = run_->advance();
  if (progress == Progress::kDone && !staged_.empty()) {
    std::memcpy(request_.data.data(), staged_.data(), staged_.size());
    staged_ = {};
  }
  return progress;
}

void Operation::finish_carried(int rank, int size, std::span<const ByteSpan> sources) {
  const MutableByteSpan target = values();
  if (target.empty()) return;
  if (request_.collective == Collective::kSend) {
    if (request_.root == rank) return;
    const ByteSpan source = sources[static_cast<size_t>(request_.root)];
    std::memcpy(target.data(), source.data(), source.size());
    return;
  }
  reduce(request_.dtype, reduction_of(request_, size), std::span(&target, 1), sources);
}

void Operation::finish_join(int last, uint64_t calls) {
  const int64_t answer = last;
  std::memcpy(request_.data.data(), &answer, sizeof(answer));
  request_.number = calls;
}

void Operation::renew() {
  const int64_t at_ns = now_ns();
  if (request_.deadline != kNever) {
    request_.deadline += std::chrono::nanoseconds(at_ns - renewed_ns_);
  }
  renewed_ns_ = at_ns;
}

Problem Operation::make_problem(const GroupView& group, const std::vector<Header>& headers,
                                const std::vector<uint64_t>& splits) const {
  const bool is_send = request_.collective == Collective::kSend;
  Problem problem{is_send ? Collective::kBroadcast : request_.collective,
                  group.rank,
                  group.size,
                  {},
                  request_.root};
  for (const Header& header : headers) problem.counts.push_back(header.count);
  const uint64_t reach_from = std::ranges::max(headers, {}, &Header::reach_from).reach_from;
  const bool is_reached = largest_bytes(headers, request_.dtype) >= reach_from;
  problem.is_in_place = is_registered(headers) || is_reached;
  if (request_.collective == Collective::kReduceScatter) {
    problem.parts =
        cut_rows(static_cast<size_t>(request_.shape[0]), request_.shape.row_elements(), group.size);
  }
  problem.is_narrow = is_narrow(request_.dtype);
  for (const uint64_t rows : splits) problem.parts.push_back(rows * request_.shape.row_elements());
  return problem;
}

MutableByteSpan Operation::make_output(const Problem& problem, const std::vector<Header>& headers,
                                       const std::vector<uint64_t>& splits) {
  const auto rank = static_cast<size_t>(problem.rank);
  size_t rows = 0;
  Result result;
  switch (request_.collective) {
    case Collective::kAllreduce:
    case Collective::kBroadcast:
    case Collective::kBarrier:
    case Collective::kSend:
    case Collective::kJoin:
      return values();
    case Collective::kAllgather:
      for (const Header& header : headers) rows += static_cast<size_t>(header.shape[0]);
      break;
    case Collective::kReduceScatter:
      rows = cut_rows(static_cast<size_t>(request_.shape[0]), 1, problem.size)[rank];
      break;
    case Collective::kAlltoall:
      for (size_t i = 0; i < headers.size(); ++i) {
        result.rows_from.push_back(splits[i * headers.size() + rank]);
        rows += result.rows_from.back();
      }
      break;
  }
  result.shape = request_.shape;
  const size_t bytes = rows * request_.shape.row_elements() * size_bytes(request_.dtype);
  result.shape[0] = static_cast<int64_t>(rows);
  result.bytes = bytes;
  result.dtype = request_.dtype;
  MutableByteSpan output;
  if (copy_) {
    result.device = request_.place->device->ordinal();
    result.data = request_.place->device->allocate(std::max<size_t>(bytes, 1));
    output = is_on_host() ? copy_->make_output(bytes, result.data)
                          : MutableByteSpan(result.data.get(), bytes);
  } else {
    result.data = make_result(bytes, request_.collective);
    output = {result.data.get(), bytes};
  }
  handle_->set_result(request_.group_index, std::move(result));
  return output;
}

std::vector<Buffers> Operation::make_buffers(const GroupView& group, const Problem& problem,
                                             const std::vector<Header>& headers,
                                             const std::vector<uint64_t>& splits) {
  std::vector<Buffers> buffers(static_cast<size_t>(group.size));
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (static_cast<int>(i) == group.rank && !staged_.empty()) {
      buffers[i] = {staged_, staged_};
    } else if (static_cast<int>(i) == group.rank) {
      buffers[i] = {values(), make_output(problem, headers, splits)};
    } else if (problem.is_in_place && is_registered(headers)) {
      const Registration place = headers[i].registration;
      const size_t bytes = headers[i].count * size_bytes(request_.dtype);
      const MutableByteSpan window = group.connections[i]->memory().window(place.id);
      if (place.offset > window.size() || bytes > window.size() - place.offset) {
        throw Error(place_of(request_) + "rank " + std::to_string(group.ranks[i]) +
                    " names memory beyond its registration. Run the same ringsync version on "
                    "all ranks.");
      }
      buffers[i] = {window.subspan(place.offset, bytes), window.subspan(place.offset, bytes)};
    } else if (problem.is_in_place) {
      // An address in the peer's process, for its connection.
      auto* const address = reinterpret_cast<std::byte*>(headers[i].address);
      const MutableByteSpan place{address, headers[i].count * size_bytes(request_.dtype)};
      buffers[i] = {place, place};
    }
  }
  return buffers;
}

}  // namespace ringsync
