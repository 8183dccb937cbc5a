#pragma once

// The words in which it is told that an operation cannot go on.

#include <exception>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/operation.h"

namespace ringsync {

/// Ranks that keep an operation waiting, in the world's numbers; and, where it is known that they
/// have submitted others, the first of those each.
struct Missing {
  std::vector<int> ranks;
  std::vector<std::string> submitted;
  /// They all have begun it on their devices, and so has this rank: which of them stands still
  /// nobody sees from here.
  bool is_on_devices = false;
  /// Of a send: the other end does not receive, but sends as well.
  bool is_crosswise = false;
};

/// How the cause begins that a rank leaves when its time is up; then come those it waited for.
inline constexpr char kGaveUp[] = "it gave up waiting for ranks ";

std::string list_of(const std::vector<int>& ranks);

/// `own`: the rank that tells, as "rank 1 of 4", and the group if there are several.
std::exception_ptr lost_error(const Operation& operation, const std::string& own,
                              const LostPeer& lost);
/// All ranks ask for what none can serve, which is_impossible() says of their headers.
std::exception_ptr impossible_error(const Operation& operation);
/// Its device has failed, by when its values should have been there; else null.
std::exception_ptr error_of_device(const Operation& operation);
/// `closer` has closed the group.
std::exception_ptr closed_error(const Operation& operation, const std::string& own, int closer,
                                const std::string& group);
/// The operation's own time is up.
std::exception_ptr late_error(const Operation& operation, const std::string& own,
                              const Missing& missing);
/// This rank has been shut down; without a cause the process has ended.
std::exception_ptr shut_down_error(const std::string& cause);
/// Nothing has moved for too long.
std::exception_ptr stall_error(const Operation& operation, const std::string& own,
                               const Missing& missing, double seconds);
/// Nothing moves, and it is not an error yet.
std::string stall_text(const Operation& operation, const std::string& own, const Missing& missing,
                       double seconds);

}  // namespace ringsync
