#pragma once

// What ranks tell each other before any data moves, and the comparison that turns a disagreement
// into one sentence. Pure; all ranks see the same headers and reach the same verdict.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/request.h"
#include "transport/transport.h"

namespace ringsync {

inline constexpr uint64_t kNobody = UINT64_MAX;

/// Sent as it lies in memory, between processes of one host and one build.
struct Header {
  uint64_t sequence = 0;
  uint64_t name_hash = 0;
  Registration registration;
  /// Of the array in the rank's own memory, for peers that reach it.
  uint64_t address = 0;
  /// From how many bytes on the rank would have private arrays reached in place; kNobody where it
  /// cannot reach all others. The largest of all ranks counts.
  uint64_t reach_from = kNobody;
  uint64_t count = 0;
  std::array<int64_t, kMaxDimensions> shape{};
  double prescale = 1;
  double postscale = 1;
  int32_t root = 0;
  Collective collective = Collective::kBarrier;
  Dtype dtype = Dtype::kUint8;
  ReduceOp op = ReduceOp::kSum;
  uint8_t dimensions = 0;
  /// The data of the announced operations follows.
  bool is_carried = false;
  /// Operations announced together; more than one only where they are carried.
  uint32_t operations = 1;
  uint32_t group_index = 0;
  uint32_t group_count = 1;
  /// For messages, cut to fit and zero-terminated.
  std::array<char, 104> name{};
  /// Algorithm that the rank prefers: the choice must fall alike on all.
  std::array<char, 24> algorithm{};
};
static_assert(std::is_trivially_copyable_v<Header>);
static_assert(sizeof(Header) % 16 == 0, "carried data follows, aligned for vector loads");

/// `request` has passed check_request.
Header make_header(const Request& request, uint64_t sequence, const std::string& algorithm);

/// Equal where two requests agree in all that find_mismatch compares; for what has no header. Two
/// that differ and yet are equal, once in 2^64, would reduce unlike data of a message's own bounds.
uint64_t signature_of(const Request& request);

/// One sentence naming the tensor, both ranks and both values; empty when all agree. `headers` by
/// rank of the group; `ranks` are the same ranks' numbers in the world.
std::optional<std::string> find_mismatch(const std::vector<Header>& headers,
                                         const std::vector<int>& ranks);

}  // namespace ringsync
