#pragma once

// Text of messages: cut to fit a field of fixed size, quoted, and numbers.

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

/// A caller's text as messages show it: between quotes, in one line, and as much of it as tells it.
inline std::string in_quotes(std::string_view text) {
  constexpr size_t kMostBytes = 200;  // two lines of a terminal; a name may have a million
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string shown = "'";
  for (const char character : fitting_prefix(text, kMostBytes)) {
    const auto code = static_cast<unsigned char>(character);
    if (code >= ' ' && code != 0x7F) {
      shown += character;
    } else if (character == '\n') {
      shown += "\\n";
    } else {
      shown += {'\\', 'x', kDigits[code / 16], kDigits[code % 16]};
    }
  }
  return shown + (text.size() > kMostBytes ? "...'" : "'");
}

/// The shortest decimal that reads back as `value`.
inline std::string text_of(double value) {
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

}  // namespace ringsync
