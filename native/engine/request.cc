#include "engine/request.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/text.h"

namespace ringsync {
namespace {

void check_splits(const Request& request, int size) {
  if (request.shape.empty()) return;  // is_impossible() is found out together
  auto rest = static_cast<uint64_t>(request.shape[0]);
  bool is_cut = request.splits.size() == static_cast<size_t>(size);
  for (const uint64_t rows : request.splits) {
    is_cut = is_cut && rows <= rest;
    rest -= rows;
  }
  if (is_cut && rest == 0) return;
  throw ConfigError("[alltoall] " + std::to_string(request.splits.size()) + " splits do not cut " +
                    std::to_string(request.shape[0]) + " rows for " + std::to_string(size) +
                    " ranks. Give each rank's rows, all rows in total.");
}

/// Where the answer is written.
void check_join(const Request& request) {
  if (request.dtype == Dtype::kInt64 && request.data.size() == sizeof(int64_t) &&
      request.group_count == 1 && !request.name) {
    return;
  }
  throw ConfigError("[join] " + std::to_string(request.data.size()) + " bytes of " +
                    std::string(name(request.dtype)) + ", one of " +
                    std::to_string(request.group_count) +
                    ", were given for the answer; a single int64 without a name is expected. "
                    "Correct the caller.");
}

/// Where nobody gives, the root is 0, whether or not that rank takes part.
bool is_rooted(const Request& request, const std::vector<int>& ranks) {
  const bool is_given =
      request.collective == Collective::kBroadcast || request.collective == Collective::kSend;
  return (!is_given && request.root == 0) || std::ranges::binary_search(ranks, request.root);
}

/// Numbers come through the door as they are.
void check_numbers(const Request& request, const std::vector<int>& ranks) {
  if (request.collective <= Collective::kJoin && has_meaning(request.op, request.collective) &&
      (request.collective == Collective::kSend || request.peer == kAllRanks) &&
      is_rooted(request, ranks)) {
    return;
  }
  throw ConfigError("[engine] collective " + std::to_string(static_cast<int>(request.collective)) +
                    ", op " + std::to_string(static_cast<int>(request.op)) + ", root " +
                    std::to_string(request.root) + " and peer " + std::to_string(request.peer) +
                    " make no request of " + std::to_string(ranks.size()) +
                    " ranks. Correct the caller.");
}

}  // namespace

bool is_built(ReduceOp op) {
  return op == ReduceOp::kAverage || op == ReduceOp::kSum || op == ReduceOp::kMin ||
         op == ReduceOp::kMax || op == ReduceOp::kProduct;
}

bool has_meaning(ReduceOp op, Collective collective) {
  return is_built(op) || (op == ReduceOp::kAdasum && collective == Collective::kAllgather);
}

std::string_view name_of(ReduceOp op) {
  switch (op) {
    case ReduceOp::kAverage:
      return "Average";
    case ReduceOp::kSum:
      return "Sum";
    case ReduceOp::kAdasum:
      return "Adasum";
    case ReduceOp::kMin:
      return "Min";
    case ReduceOp::kMax:
      return "Max";
    case ReduceOp::kProduct:
      return "Product";
  }
  __builtin_unreachable();
}

bool is_written(const Request& request) {
  return request.collective == Collective::kAllreduce ||
         request.collective == Collective::kBroadcast || request.collective == Collective::kJoin ||
         request.is_receiver;
}

bool is_served(const Request& request) {
  return request.device == DeviceKind::kCpu || (request.place && request.place->device);
}

bool wants_unbuilt(const Request& request) {
  return !is_served(request) || request.codec.front() != '\0';
}

std::string unbuilt_text(const Request& request) {
  if (!is_served(request)) {
    const std::string lack = request.place ? request.place->lack : "";
    return "an array on " + name(request.device) +
           " was given, and ringsync has no way to it. Copy it to the host first, on all ranks." +
           (lack.empty() ? "" : " The way is missing because of this: " + lack);
  }
  return "codec='" + std::string(request.codec.data()) +
         "' was given; no codec is built yet. Leave it None on all ranks.";
}

std::string call_of(const Request& request) {
  return request.is_receiver ? "recv" : call_of(request.collective, request.group_count);
}

std::string call_of(Collective collective, uint32_t group_count) {
  return (group_count == 1 ? "" : "grouped_") + to_string(collective);
}

std::string label_of(const Request& request) {
  if (request.collective == Collective::kJoin) return to_string(request.collective);
  if (request.name) return *request.name;
  return unnamed_label(request.number, request.group_index, request.group_count);
}

std::string place_of(const Request& request) {
  return "[" + call_of(request) + "] " + in_quotes(label_of(request)) + ": ";
}

std::string unnamed_label(uint64_t number, uint32_t group_index, uint32_t group_count) {
  const std::string label = "unnamed " + std::to_string(number);
  return group_count > 1 ? label + "." + std::to_string(group_index) : label;
}

Reduction reduction_of(const Request& request, int size) {
  Reduction reduction{.op = request.op, .factor = request.prescale * request.postscale};
  switch (request.op) {
    case ReduceOp::kAverage:
      reduction.divisor = size;
      break;
    case ReduceOp::kSum:
    case ReduceOp::kAdasum:
      break;
    case ReduceOp::kMin:
      if (request.prescale < 0) reduction.op = ReduceOp::kMax;  // the order is turned around
      break;
    case ReduceOp::kMax:
      if (request.prescale < 0) reduction.op = ReduceOp::kMin;
      break;
    case ReduceOp::kProduct:
      reduction.factor = std::pow(request.prescale, size) * request.postscale;
      break;
  }
  return reduction;
}

void check_request(const Request& request, const std::vector<int>& ranks) {
  check_numbers(request, ranks);
  const int size = static_cast<int>(ranks.size());
  const auto place = [&] { return "[" + call_of(request) + "] "; };
  if (request.shape.size() > kMaxDimensions) {
    throw ConfigError(place() + "the array has " + std::to_string(request.shape.size()) +
                      " dimensions; at most " + std::to_string(kMaxDimensions) +
                      " are supported. Reshape it.");
  }
  if (size == 1 && wants_unbuilt(request)) {  // there is nobody to find it out with
    throw ConfigError(place() + unbuilt_text(request));
  }
  const bool is_scatter = request.collective == Collective::kReduceScatter;
  const bool is_alltoall = request.collective == Collective::kAlltoall;
  if (is_alltoall) check_splits(request, size);
  if (request.collective == Collective::kJoin) check_join(request);
  const bool is_sum = request.collective == Collective::kAllreduce || is_scatter;
  const bool is_extreme = request.op == ReduceOp::kMin || request.op == ReduceOp::kMax;
  if (is_sum && !is_summable(request.dtype) && !is_extreme) {
    throw ConfigError(place() + std::string(name(request.dtype)) + " cannot be reduced by " +
                      std::string(name_of(request.op)) +
                      "; Min (all) or Max (any) is expected. Use one of them, or astype(int32).");
  }
  if (!is_summable(request.dtype) && (request.prescale != 1 || request.postscale != 1)) {
    throw ConfigError(place() + std::string(name(request.dtype)) +
                      " cannot be scaled; prescale and postscale 1 are expected. Leave them out, "
                      "or use astype(int32).");
  }
  const double factor = reduction_of(request, size).factor;
  const bool is_narrow = request.dtype == Dtype::kFloat32 || size_bytes(request.dtype) == 2;
  if (!std::isfinite(is_narrow ? static_cast<float>(factor) : factor)) {
    throw ConfigError(place() + "prescale " + text_of(request.prescale) + " and postscale " +
                      text_of(request.postscale) +
                      " make a factor beyond every float. Scale by less.");
  }
}

void check_peer(const Request& request, int rank, int size) {
  const bool is_peer = request.peer >= 0 && request.peer < size && request.peer != rank;
  if (is_peer && (request.root == rank || request.root == request.peer)) return;
  throw ConfigError("[" + call_of(request) + "] rank " + std::to_string(rank) + " names rank " +
                    std::to_string(request.peer) + " as its peer and rank " +
                    std::to_string(request.root) + " as the sender; another rank below " +
                    std::to_string(size) + " is expected, and one of the two. Correct the caller.");
}

void check_disjoint(const std::vector<Request>& requests) {
  if (!is_written(requests[0])) return;
  std::vector<const Request*> sorted;
  for (const Request& request : requests) {
    if (!request.data.empty()) sorted.push_back(&request);
  }
  std::ranges::sort(sorted, {}, [](const Request* request) { return request->data.data(); });
  for (size_t i = 1; i < sorted.size(); ++i) {
    const MutableByteSpan before = sorted[i - 1]->data;
    if (before.data() + before.size() <= sorted[i]->data.data()) continue;
    const auto number = [&](size_t at) { return std::to_string(sorted[at] - requests.data()); };
    throw ConfigError("[" + call_of(requests[0]) + "] arrays " + number(i - 1) + " and " +
                      number(i) + " of the group share memory. Pass each array once.");
  }
}

}  // namespace ringsync
