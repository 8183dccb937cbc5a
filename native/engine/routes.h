#pragma once

// Routes of the problems that a group has met, computed once and kept.

#include <memory>
#include <string>
#include <unordered_map>

#include "collective/route.h"
#include "collective/schedule.h"

namespace ringsync {

/// One thread at a time.
class Routes {
 public:
  /// `algorithm` to prefer, empty for the cheapest, outlives it.
  explicit Routes(const std::string& algorithm) : algorithm_(algorithm) {}

  std::shared_ptr<const Route> of(const Problem& problem);

 private:
  const std::string& algorithm_;
  std::unordered_map<std::string, std::shared_ptr<const Route>> known_;
  Problem last_problem_;  // often the next one's, too
  std::shared_ptr<const Route> last_;
};

}  // namespace ringsync
