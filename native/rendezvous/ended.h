#pragma once

// Ranks that ended before all had met, as their launcher notes it beside the store's socket. No
// rank writes such a note, and none is found by it.

#include <optional>
#include <string>

namespace ringsync {

/// Why ranks that meet at the socket `path` would wait in vain; nothing while all `size` may come.
/// The launcher writes the note first and connects to `path` after it, so whoever serves there
/// looks once rank 0 has joined, and whenever somebody has come and gone without a word. Any
/// thread; throws nothing: what cannot be looked at counts as not noted.
std::optional<std::string> ended_rank_text(const std::string& path, int size);

}  // namespace ringsync
