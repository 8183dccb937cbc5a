#include "hostsim/kernels.h"

#include <algorithm>
#include <vector>

#include "device/plugin_bodies.h"
#include "device/plugin_calls.h"
#include "hostsim/arithmetic.h"

namespace ringsync::hostsim {
namespace {

using plugin::Place;

/// Small, so that small tests have many blocks and teams, whose edges are what can go wrong; teams
/// of several lanes, because lanes are what a run is shared by.
constexpr RsShape kUsual{16, 8, 2048, 12};

template <typename Body>
void for_each_thread(const plugin::Cut& cut, const Body& body) {
  const uint32_t teams = cut.threads / cut.lanes;
  for (uint32_t team = 0; team < cut.blocks * teams; ++team) {
    for (uint32_t lane = 0; lane < cut.lanes; ++lane) {
      body(Place{team, cut.blocks * teams, lane, cut.lanes});
    }
  }
}

template <typename From, typename To, typename Scale>
void run_move(const RsMove& move, bool is_pack, Scale scale) {
  const auto total = static_cast<uint32_t>(move.fused_elements);
  const plugin::Cut cut =
      plugin::cut(move.shape, kUsual, total, std::max(sizeof(From), sizeof(To)));
  const plugin::MoveFrame<Scale> frame{move.fused, move.segment_count, total,
                                       cut.span,   is_pack ? 1u : 0u,  scale};
  for_each_thread(cut, [&](const Place& place) {
    plugin::move_spans<Arithmetic, From, To>(move.segments, frame, place);
  });
}

/// The table as the device's kernels see it, part by part.
template <typename From, typename To, typename Scale>
void run_parts(const RsMove& move, bool is_pack, Scale scale) {
  const size_t fused_bytes = is_pack ? sizeof(To) : sizeof(From);
  std::vector<RsSegment> entries(kRsMostSegments);
  for (uint32_t done = 0; done < move.segment_count;) {
    const plugin::Part part = plugin::take_part(move, done, entries);
    done = part.done;
    if (part.count == 0) continue;
    RsMove some = move;
    some.segments = entries.data();
    some.segment_count = part.count;
    some.fused = static_cast<char*>(move.fused) + part.first * fused_bytes;
    some.fused_elements = part.total;
    run_move<From, To>(some, is_pack, scale);
  }
}

}  // namespace

RsStatus make_move(const RsMove& move, bool is_pack, Task& task) {
  if (const RsStatus status = plugin::check(move); status != kRsOk) return status;
  return plugin::with_types_of<Arithmetic>(
      move, is_pack, [&]<typename From, typename To>(auto scale) -> RsStatus {
        if (move.segment_count == 0) return kRsOk;
        if (move.is_table_on_device != 0) {
          task = [move, is_pack, scale] {
            run_move<From, To>(move, is_pack, scale);
            return kRsOk;
          };
          return kRsOk;
        }
        const std::vector<RsSegment> table(move.segments, move.segments + move.segment_count);
        task = [move, is_pack, scale, table] {
          RsMove mine = move;
          mine.segments = table.data();
          run_parts<From, To>(mine, is_pack, scale);
          return kRsOk;
        };
        return kRsOk;
      });
}

RsStatus make_sum(const RsSum& sum, Task& task) {
  if (const RsStatus status = plugin::check(sum); status != kRsOk) return status;
  return plugin::with_type_of<Arithmetic>(sum, [&]<typename T>(auto scale) -> RsStatus {
    if (sum.count == 0) return kRsOk;
    const auto frame = plugin::frame_of(sum, scale);
    const plugin::Cut cut = plugin::cut(sum.shape, kUsual, sum.count, sizeof(T));
    task = [frame, cut] {
      for_each_thread(
          cut, [&](const Place& place) { plugin::sum_elements<Arithmetic, T>(frame, place); });
      return kRsOk;
    };
    return kRsOk;
  });
}

}  // namespace ringsync::hostsim
