#include "engine/join.h"

#include <algorithm>
#include <cstdlib>
#include <span>

#include "base/error.h"
#include "base/text.h"
#include "engine/failures.h"

namespace ringsync {
namespace {

size_t bytes_of(const Header& call) { return call.count * size_bytes(call.dtype); }

/// The system gives large memory zeroed, so nothing is written here.
std::shared_ptr<std::byte> make_zeros(const Header& call) {
  auto* const memory = static_cast<std::byte*>(std::calloc(std::max<size_t>(bytes_of(call), 1), 1));
  if (memory == nullptr) {
    throw Error("[join] no memory for the " + std::to_string(bytes_of(call)) +
                " bytes of zeros that this rank gives to " + to_string(call.collective) + " " +
                in_quotes(label_of(call)) + ". Free some before join().");
  }
  return {memory, &std::free};
}

Request make_request(const Header& call, std::byte* zeros) {
  Request request;
  request.collective = call.collective;
  request.name = label_of(call);
  request.dtype = call.dtype;
  request.op = call.op;
  request.group_index = call.group_index;
  request.group_count = call.group_count;
  request.prescale = call.prescale;
  request.postscale = call.postscale;
  request.shape = Shape(std::span(call.shape).first(call.dimensions));
  request.data = {zeros, bytes_of(call)};
  request.submitted_ns = now_ns();
  return request;
}

/// Zeros change nothing.
bool is_sum(const Header& call) {
  const bool is_reduction =
      call.collective == Collective::kAllreduce || call.collective == Collective::kReduceScatter;
  return is_reduction && (call.op == ReduceOp::kSum || call.op == ReduceOp::kAverage);
}

}  // namespace

void JoinedRanks::note(const std::vector<Header>& headers) {
  for (size_t i = 0; i < headers.size(); ++i) {
    if (!is_join(headers[i]) || since_[i]) continue;
    since_[i] = {headers[i].sequence, headers[i].submitted_ns};
    calls_ = std::max(calls_, headers[i].number);
    ++count_;
  }
}

void JoinedRanks::forget() {
  std::ranges::fill(since_, std::nullopt);
  count_ = 0;
  calls_ = 0;
}

int JoinedRanks::last() const {
  // Of equal ones the higher rank.
  const auto last = std::ranges::max_element(since_.rbegin(), since_.rend());
  return static_cast<int>(since_.rend() - last) - 1;
}

std::optional<std::string> find_need_of(const JoinedRanks& joined, const Header& call,
                                        const std::vector<int>& ranks) {
  if (!joined.is_any() || is_sum(call) || call.collective == Collective::kBarrier) {
    return std::nullopt;
  }
  std::vector<int> who;
  for (size_t i = 0; i < ranks.size(); ++i) {
    if (joined.has(i)) who.push_back(ranks[i]);
  }
  const std::string text = who.size() == 1 ? "rank " + std::to_string(who[0]) + " has"
                                           : "ranks " + list_of(who) + " have";
  const std::string what =
      call.collective == Collective::kAllreduce || call.collective == Collective::kReduceScatter
          ? std::string(name_of(call.op))
          : to_string(call.collective);
  return place_of(call) + text + " joined, with nothing to contribute to " + what +
         "; Sum, Average and barrier go on without. Call it before the first rank joins, or after "
         "join() has returned.";
}

StandIn::StandIn(const GroupView& group, const std::vector<Header>& headers, const Header& call)
    : call_(call),
      zeros_(make_zeros(call)),
      operation_(make_request(call, zeros_.get()), std::make_shared<Handle>(1)) {
  operation_.set_started(now_ns());
  operation_.set_agreed(now_ns());
  operation_.start(group, headers, {});
}

}  // namespace ringsync
