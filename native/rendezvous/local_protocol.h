#pragma once

// Requests and replies between the ranks of one host and the store that rank 0 serves: one packet
// each. The packet's own size bounds every field.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringsync {

enum class StoreVerb : char { kJoin = 'J', kSet = 'S', kGet = 'G', kAdd = 'A', kRemove = 'R' };

struct StoreRequest {
  StoreVerb verb = StoreVerb::kGet;
  std::string key;
  std::string value;
};

/// Verb, key, a zero byte, value. Keys hold no zero bytes.
inline std::string encode(const StoreRequest& request) {
  std::string packet(1, static_cast<char>(request.verb));
  packet += request.key;
  packet += '\0';
  packet += request.value;
  return packet;
}

/// Empty when the packet is not a request.
inline std::optional<StoreRequest> decode_request(std::string_view packet) {
  constexpr std::string_view kVerbs = "JSGAR";
  if (packet.empty() || kVerbs.find(packet[0]) == std::string_view::npos) return std::nullopt;
  const size_t end = packet.find('\0');
  if (end == std::string_view::npos) return std::nullopt;
  return StoreRequest{static_cast<StoreVerb>(packet[0]), std::string(packet.substr(1, end - 1)),
                      std::string(packet.substr(end + 1))};
}

/// First byte of a reply; the rest is the value, or the text of the error.
inline constexpr char kReplyOk = '+';
inline constexpr char kReplyError = '-';

/// What a counter of value `before`, "" being 0, holds once `amount` is added; nothing where that
/// is no whole number of 64 bits.
std::optional<int64_t> counted(std::string_view before, int64_t amount);

/// The refusal to count so.
std::string not_a_counter_text(const std::string& key);

/// The refusal of a value whose descriptor did not arrive.
std::string lost_descriptor_text(const std::string& key);

/// The begin, without a full stop, of what is told at the store at `path` after `timeout_s`, the
/// limit, to those of `size` ranks that have come.
std::string missing_text(const std::vector<int>& ranks, int size, const std::string& path,
                         double timeout_s);

/// A whole decimal number, or nothing.
std::optional<int64_t> parse_integer(std::string_view text);

}  // namespace ringsync
