#pragma once

// A word to the person who runs the job.

#include <string>

namespace ringsync {

/// Writes `text` to stderr, as much of it as that takes without waiting: whoever reads it may have
/// stopped, and the calling thread has work to do. Any thread.
void tell(const std::string& text) noexcept;

}  // namespace ringsync
