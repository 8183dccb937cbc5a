#pragma once

// Text of messages: cut to fit a field of fixed size, and numbers.

#include <array>
#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>

namespace ringsync {

/// The longest prefix of UTF-8 `text` of at most `limit` bytes that ends between two characters.
constexpr std::string_view fitting_prefix(std::string_view text, size_t limit) {
  if (text.size() <= limit) return text;
  // Bytes 10xxxxxx continue a character.
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) --limit;
  return text.substr(0, limit);
}

/// The shortest decimal that reads back as `value`.
inline std::string text_of(double value) {
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

}  // namespace ringsync
