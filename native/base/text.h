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

/// Bytes of the control character that UTF-8 `text` starts with, 0 if with none. Of those that turn
/// or break lines by Unicode alone, too: what follows one would be shown in another order.
constexpr size_t control_bytes(std::string_view text) {
  const auto byte = [text](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  if (byte(0) < ' ' || byte(0) == 0x7F) return 1;
  if (byte(0) == 0xC2 && byte(1) >= 0x80 && byte(1) <= 0x9F) return 2;  // U+0080 to U+009F
  if (byte(0) == 0xD8 && byte(1) == 0x9C) return 2;                     // U+061C
  if (byte(0) != 0xE2) return 0;
  const bool is_mark = byte(2) == 0x8E || byte(2) == 0x8F;     // U+200E, U+200F
  const bool is_break = byte(2) >= 0xA8 && byte(2) <= 0xAE;    // U+2028 to U+202E
  const bool is_isolate = byte(2) >= 0xA6 && byte(2) <= 0xA9;  // U+2066 to U+2069
  return (byte(1) == 0x80 && (is_mark || is_break)) || (byte(1) == 0x81 && is_isolate) ? 3 : 0;
}

/// A caller's text as messages show it: between quotes, in one line, and as much of it as tells it.
inline std::string in_quotes(std::string_view text) {
  constexpr size_t kMostBytes = 200;  // two lines of a terminal; a name may have a million
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string shown = "'";
  const std::string_view fitting = fitting_prefix(text, kMostBytes);
  size_t hidden = 0;  // bytes still to come of a control character
  for (size_t i = 0; i < fitting.size(); ++i) {
    const auto code = static_cast<unsigned char>(fitting[i]);
    if (hidden == 0) hidden = control_bytes(fitting.substr(i));
    if (hidden == 0) {
      shown += fitting[i];
      continue;
    }
    --hidden;
    if (code == '\n') {
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
