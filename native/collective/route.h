#pragma once

// One rank's share of a problem, read off the schedules of all ranks: its own steps, what its peers
// expect from it, and whose progress it must know. Computed once per problem and kept.

#include <vector>

#include "collective/algorithm.h"

namespace ringsync {

/// In Send::peer: all other ranks, which read the range off the board.
inline constexpr int kEveryone = -1;

/// A range that a peer reads here in some phase, to be sent when no memory is shared.
struct Send {
  int peer = 0;
  Range range;
};

struct RoutedStep : Step {
  /// Its one source sends it to everyone.
  bool is_on_board = false;
};

struct Phase {
  std::vector<RoutedStep> steps;
  /// In the order in which each peer takes them; empty in place.
  std::vector<Send> sends;
};

struct Route {
  /// Ranks reach into each other's buffers and tell by flags when a phase is over; otherwise data
  /// travels as messages.
  bool is_in_place = false;
  std::vector<Phase> phases;
  /// In place: the ranks that touch memory which this rank also touches. They exchange flags
  /// between phases, and a rank is done when all of these are.
  std::vector<int> neighbours;
};

/// Schedules of all ranks of `problem`, by rank.
std::vector<Schedule> build_all(const Algorithm& algorithm, const Problem& problem);

Route make_route(const std::vector<Schedule>& schedules, const Problem& problem);

}  // namespace ringsync
