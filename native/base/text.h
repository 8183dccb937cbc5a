#pragma once

// Text cut to fit a field of fixed size.

#include <cstddef>
#include <string_view>

namespace ringsync {

/// The longest prefix of UTF-8 `text` of at most `limit` bytes that ends between two characters.
constexpr std::string_view fitting_prefix(std::string_view text, size_t limit) {
  if (text.size() <= limit) return text;
  // Bytes 10xxxxxx continue a character.
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) --limit;
  return text.substr(0, limit);
}

}  // namespace ringsync
