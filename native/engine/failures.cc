#include "engine/failures.h"

#include <cstdio>

#include "base/clock.h"
#include "base/text.h"

namespace ringsync {
namespace {

/// A cause may be a sentence of the other rank's.
std::string without_stop(std::string text) {
  if (text.ends_with('.')) text.pop_back();
  return text;
}

std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f s", seconds);
  return text;
}

/// Whom it waits for: others, or nobody but the device of its own rank.
std::string late_ones(const Missing& missing, const std::string& verb) {
  if (missing.ranks.empty()) return "its own device has not moved the array's values";
  if (missing.is_on_devices) {
    return "ranks " + list_of(missing.ranks) +
           " have begun it on their devices as well, and one of all these stands still";
  }
  return "ranks " + list_of(missing.ranks) + " " + verb;
}

/// `limit`: what else could be more.
std::string advice(const Missing& missing, const std::string& limit) {
  if (missing.is_crosswise)
    return ". Let one of the two receive before it waits, as send_async lets it.";
  const std::string look = missing.ranks.empty()   ? "what the array's stream waits for"
                           : missing.is_on_devices ? "what works on the devices"
                                                   : "what they are doing";
  return ". See " + look + ", or raise " + limit + ".";
}

std::string instead_of(const Missing& missing) {
  std::string text;
  for (size_t i = 0; i < missing.submitted.size(); ++i) {
    text += "; rank " + std::to_string(missing.ranks[i]) + " has submitted " +
            in_quotes(missing.submitted[i]);
  }
  if (missing.is_crosswise) {
    text += ": rank " + std::to_string(missing.ranks[0]) + " sends to this rank, too";
  }
  return text;
}

}  // namespace

std::string list_of(const std::vector<int>& ranks) {
  std::string text = "{";
  for (size_t i = 0; i < ranks.size(); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(ranks[i]);
  }
  return text + "}";
}

std::exception_ptr lost_error(const Operation& operation, const std::string& own,
                              const LostPeer& lost) {
  const std::string rank = std::to_string(lost.rank);
  return std::make_exception_ptr(
      PeerLostError(place_of(operation.request()) + own + " lost rank " + rank + " (pid " +
                        std::to_string(lost.pid) + " on " + lost.host +
                        "): " + without_stop(lost.cause) + ". Read rank " + rank + "'s log first.",
                    lost, label_of(operation.request())));
}

std::exception_ptr impossible_error(const Operation& operation) {
  const Request& request = operation.request();
  return std::make_exception_ptr(
      ConfigError(place_of(request) +
                  (wants_unbuilt(request)
                       ? unbuilt_text(request)
                       : "a scalar has no first dimension. Pass x.reshape(1) on all ranks.")));
}

std::exception_ptr error_of_device(const Operation& operation) {
  const RsStatus status = operation.device_status();
  if (status == kRsOk) return nullptr;
  try {
    operation.request().place->device->require(status, "it has failed in the meantime");
  } catch (const Error& error) {
    return std::make_exception_ptr(Error(place_of(operation.request()) + error.what()));
  }
  return nullptr;
}

std::exception_ptr closed_error(const Operation& operation, const std::string& own, int closer,
                                const std::string& group) {
  return std::make_exception_ptr(MismatchError(
      place_of(operation.request()) + "rank " + std::to_string(closer) + " has closed " + group +
      ", " + own + " has not. Close a group on all its ranks after the same calls."));
}

std::exception_ptr shut_down_error(const std::string& cause) {
  if (cause.empty()) {
    return std::make_exception_ptr(NotInitializedError(
        "[engine] the operation was in flight when this process ended. Wait for handles, and let "
        "threads that call end, before the script does."));
  }
  return std::make_exception_ptr(
      NotInitializedError("[engine] the operation was in flight when this rank shut down (" +
                          cause + "). Wait for handles before shutdown()."));
}

std::exception_ptr late_error(const Operation& operation, const std::string& own,
                              const Missing& missing) {
  const double seconds = static_cast<double>(now_ns() - operation.times().submitted_ns) * 1e-9;
  return std::make_exception_ptr(
      TimedOutError(place_of(operation.request()) + "not complete after " + seconds_text(seconds) +
                        " on " + own + "; " + late_ones(missing, "did not take part in time") +
                        instead_of(missing) + advice(missing, "timeout_s"),
                    missing.ranks));
}

std::exception_ptr stall_error(const Operation& operation, const std::string& own,
                               const Missing& missing, double seconds) {
  return std::make_exception_ptr(
      StallError(place_of(operation.request()) + "nothing has moved for " + seconds_text(seconds) +
                     " on " + own + "; " + late_ones(missing, "take no part") +
                     instead_of(missing) + advice(missing, "RINGSYNC_STALL_ABORT_S"),
                 missing.ranks));
}

std::string stall_text(const Operation& operation, const std::string& own, const Missing& missing,
                       double seconds) {
  const std::string whom =
      missing.ranks.empty()
          ? "its own device"
          : (missing.is_on_devices ? "its own device or those of ranks " : "ranks ") +
                list_of(missing.ranks);
  return "[ringsync] " + own + " has waited " + seconds_text(seconds) + " for " + whom + " in " +
         call_of(operation.request()) + " " + in_quotes(label_of(operation.request())) +
         instead_of(missing) + ".";
}

}  // namespace ringsync
