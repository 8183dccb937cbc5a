#include "engine/header.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <limits>
#include <span>
#include <string_view>

#include "base/error.h"
#include "base/text.h"

namespace ringsync {
namespace {

/// FNV-1a: equal on all ranks, unlike std::hash, which promises nothing between processes.
constexpr uint64_t kHashPrime = 1099511628211u;

uint64_t hash_of(std::string_view text) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * kHashPrime;
  return hash;
}

template <size_t n>
void write_field(std::array<char, n>& field, std::string_view text) {
  std::ranges::copy(fitting_prefix(text, n - 1), field.begin());
}

template <size_t n>
std::string read_field(const std::array<char, n>& field) {
  const std::string_view whole(field.data(), n);
  return std::string(whole.substr(0, whole.find_last_not_of('\0') + 1));
}

std::string group_text(const Header& header) {
  if (header.group_count == 0) return "a group of no arrays";
  if (header.group_count == 1) return "an array by itself";
  return "array " + std::to_string(header.group_index) + " of a group of " +
         std::to_string(header.group_count);
}

std::string scales_text(const Header& header) {
  return "prescale " + text_of(header.scaled_by * header.prescale) + ", postscale " +
         text_of(header.postscale);
}

/// Bits, because signatures compare them too.
bool has_equal_scales(const Header& a, const Header& b) {
  const auto bits = [](double value) { return std::bit_cast<uint64_t>(value); };
  return bits(a.prescale) == bits(b.prescale) && bits(a.postscale) == bits(b.postscale) &&
         bits(a.scaled_by) == bits(b.scaled_by);
}

std::string codec_text(const Header& header) {
  const std::string codec = read_field(header.codec);
  return codec.empty() ? "no codec" : "codec '" + codec + "'";
}

std::string shape_text(const Header& header) {
  std::string text = "(";
  for (size_t i = 0; i < header.dimensions; ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(header.shape[i]);
  }
  return text + (header.dimensions == 1 ? ",)" : ")");
}

/// Dimensions from `first` on are equal.
bool has_equal_shape(const Header& a, const Header& b, size_t first) {
  return a.dimensions == b.dimensions &&
         std::equal(a.shape.begin() + static_cast<long>(std::min<size_t>(first, a.dimensions)),
                    a.shape.begin() + a.dimensions,
                    b.shape.begin() + static_cast<long>(std::min<size_t>(first, b.dimensions)));
}

/// A header whose numbers mean nothing, or contradict each other, was not written by make_header.
bool is_consistent(const Header& header) {
  if (header.dimensions > kMaxDimensions || header.collective > Collective::kJoin ||
      !is_known(header.dtype) || !has_meaning(header.op, header.collective)) {
    return false;
  }
  const auto shape = std::span(header.shape).first(header.dimensions);
  if (std::ranges::any_of(shape, [](int64_t length) { return length < 0; })) return false;
  if (std::ranges::count(shape, 0) > 0) return header.count == 0;
  uint64_t count = 1;
  for (size_t i = 0; i < header.dimensions; ++i) {
    const auto length = static_cast<uint64_t>(header.shape[i]);
    if (count > std::numeric_limits<uint32_t>::max() * uint64_t{1024} / length) {
      return false;  // beyond 4 Ti elements: no host holds such an array
    }
    count *= length;
  }
  return count == header.count;
}

/// The number in the world of rank `rank` of a group, if it has written one that can be.
std::string rank_text(int32_t rank, const std::vector<int>& ranks) {
  const auto place = static_cast<size_t>(rank);  // below 0: beyond all
  return place < ranks.size() ? std::to_string(ranks[place]) : "none";
}

/// What two headers disagree on, as "rank a ..., rank b ..." parts; empty when they agree.
struct Difference {
  std::string mine;
  std::string reference;
  std::string advice;
};

/// What two ranks do with their arrays. All give theirs, but of a send one gives and one receives.
struct Verbs {
  std::string mine = "sent ";
  std::string reference;
};

Verbs verbs_of(const Header& call, size_t mine, size_t reference) {
  if (call.collective != Collective::kSend) return {};
  const auto verb = [&call](size_t rank) {
    return static_cast<int32_t>(rank) == call.root ? "sent " : "receives into ";
  };
  return {verb(mine), verb(reference)};
}

std::optional<Difference> difference(const Header& mine, const Header& reference,
                                     const std::vector<int>& ranks, const Verbs& verbs) {
  if (!is_consistent(mine)) {
    return Difference{"sent a damaged header", "a good one",
                      "Run the same ringsync version on all ranks."};
  }
  if (mine.collective != reference.collective || mine.sequence != reference.sequence) {
    return Difference{"submitted " + to_string(mine.collective), to_string(reference.collective),
                      mine.is_named ? "Use one name for one operation."
                                    : "Calls without a name meet by order: make the same on all "
                                      "ranks, from one thread."};
  }
  if (mine.group_index != reference.group_index || mine.group_count != reference.group_count) {
    return Difference{"submitted " + group_text(mine), group_text(reference),
                      "Pass groups of equally many arrays on all ranks."};
  }
  if (mine.step != reference.step) {
    return Difference{"is at step " + std::to_string(mine.step),
                      "at step " + std::to_string(reference.step),
                      "Let all ranks make the same steps, also after an error that one has caught, "
                      "and load a state on all or none; broadcast_parameters and "
                      "broadcast_optimizer_state make them equal again."};
  }
  if (mine.root != reference.root) {
    return Difference{"named root " + rank_text(mine.root, ranks), rank_text(reference.root, ranks),
                      "Use one root on all ranks."};
  }
  if (mine.device != reference.device) {
    return Difference{verbs.mine + "an array on " + name(mine.device),
                      verbs.reference + "one on " + name(reference.device),
                      "Use one kind of device on all ranks."};
  }
  if (mine.is_served != reference.is_served) {
    const auto tell = [](const Header& header) {
      return std::string(header.is_served ? "reaches" : "has no way to") + " its arrays on " +
             name(header.device);
    };
    return Difference{tell(mine), tell(reference),
                      "Copy them to the host on all ranks, or see what 'ringsync info' tells on "
                      "each."};
  }
  if (mine.dtype != reference.dtype) {
    return Difference{verbs.mine + std::string(name(mine.dtype)),
                      verbs.reference + std::string(name(reference.dtype)),
                      "Use one dtype on all ranks."};
  }
  const bool is_gather =
      mine.collective == Collective::kAllgather || mine.collective == Collective::kAlltoall;
  if (!has_equal_shape(mine, reference, is_gather ? 1 : 0)) {
    return Difference{
        verbs.mine + "shape " + shape_text(mine), verbs.reference + shape_text(reference),
        is_gather ? "Only the first dimension may differ between ranks."
        : mine.collective == Collective::kAllreduce ? "Build the same model on all ranks."
                                                    : "Pass arrays of one shape."};
  }
  if (mine.op != reference.op) {
    return Difference{"asked for " + std::string(name_of(mine.op)),
                      std::string(name_of(reference.op)), "Use one op on all ranks."};
  }
  if (!has_equal_scales(mine, reference)) {
    return Difference{"asked for " + scales_text(mine), scales_text(reference),
                      "Use one prescale and one postscale on all ranks."};
  }
  if (mine.codec != reference.codec) {
    return Difference{"asked for " + codec_text(mine), codec_text(reference),
                      "Use one codec on all ranks."};
  }
  if (mine.algorithm != reference.algorithm) {
    return Difference{"prefers algorithm '" + read_field(mine.algorithm) + "'",
                      "'" + read_field(reference.algorithm) + "'",
                      "Set RINGSYNC_ALGORITHM alike on all ranks."};
  }
  return std::nullopt;
}

}  // namespace

Header make_header(const Request& request, ByteSpan values, uint64_t signature, uint64_t sequence,
                   const std::string& algorithm) {
  Header header;
  header.sequence = sequence;
  header.signature = (signature ^ hash_of(algorithm)) * kHashPrime;
  header.key = key_of(request);
  header.number = request.number;
  header.submitted_ns = request.submitted_ns;
  header.address = reinterpret_cast<uint64_t>(values.data());
  header.count = request.data.size() / size_bytes(request.dtype);
  std::ranges::copy(request.shape, header.shape.begin());
  header.group_index = request.group_index;
  header.group_count = request.group_count;
  header.prescale = request.prescale;
  header.postscale = request.postscale;
  header.scaled_by = request.scaled_by;
  header.step = request.step;
  header.root = request.root;
  header.collective = request.collective;
  header.dtype = request.dtype;
  header.device = request.device;
  header.op = request.op;
  header.dimensions = static_cast<uint8_t>(request.shape.size());
  header.is_named = request.name.has_value();
  header.is_served = is_served(request);
  if (request.name) write_field(header.name, *request.name);
  header.codec = request.codec;
  write_field(header.algorithm, algorithm);
  return header;
}

std::string label_of(const Header& header) {
  if (is_join(header)) return to_string(header.collective);
  return header.is_named ? read_field(header.name)
                         : unnamed_label(header.number, header.group_index, header.group_count);
}

std::string place_of(const Header& header) {
  return "[" + call_of(header.collective, header.group_count) + "] " + in_quotes(label_of(header)) +
         ": ";
}

uint64_t key_of(const Request& request) {
  if (request.collective == Collective::kJoin) return kJoinKey;
  return request.name ? hash_of(*request.name) : (request.number + 1) * kHashPrime;
}

uint64_t signature_of(const Request& request) {
  uint64_t hash = key_of(request);
  const auto add = [&hash](uint64_t value) {
    hash = (hash ^ value) * kHashPrime;
    hash ^= hash >> 32;  // the product's low half does not depend on the value's high half
  };
  add(static_cast<uint64_t>(is_served(request)) << 40 |
      static_cast<uint64_t>(request.device) << 32 |
      static_cast<uint64_t>(request.collective) << 24 | static_cast<uint64_t>(request.dtype) << 16 |
      static_cast<uint64_t>(request.op) << 8 | request.shape.size());
  add(static_cast<uint64_t>(request.group_index) << 32 | request.group_count);
  for (const int64_t length : request.shape) add(static_cast<uint64_t>(length));
  add(static_cast<uint64_t>(request.root));
  add(std::bit_cast<uint64_t>(request.prescale));
  add(std::bit_cast<uint64_t>(request.postscale));
  add(std::bit_cast<uint64_t>(request.scaled_by));
  add(request.step);
  if (request.codec.front() != '\0') add(hash_of(request.codec.data()));
  return hash;
}

bool is_one_call(const std::vector<Header>& headers) {
  const auto first = std::ranges::find_if_not(headers, &is_join);
  return std::ranges::all_of(headers, [first](const Header& header) {
    return is_join(header) || header.key == first->key || !is_consistent(header);
  });
}

bool is_settled(const std::vector<Header>& headers) {
  const auto is_by_host = [](const Header& header) { return header.site == Site::kHost; };
  const auto is_there = [](const Header& header) { return header.site >= Site::kDevice; };
  return std::ranges::all_of(headers, is_by_host) || std::ranges::all_of(headers, is_there);
}

bool is_impossible(const Header& header) {
  const bool needs_rows = header.collective == Collective::kAllgather ||
                          header.collective == Collective::kReduceScatter ||
                          header.collective == Collective::kAlltoall;
  return (needs_rows && header.dimensions == 0) || !header.is_served ||
         header.codec.front() != '\0';
}

std::optional<std::string> find_mismatch(const std::vector<Header>& headers,
                                         const std::vector<int>& ranks, size_t reference) {
  const Header& expected = headers[reference];
  for (size_t rank = 0; rank < headers.size(); ++rank) {
    const std::optional<Difference> found =
        difference(headers[rank], expected, ranks, verbs_of(expected, rank, reference));
    if (!found) continue;
    return place_of(expected) + "rank " + std::to_string(ranks[rank]) + " " + found->mine +
           ", rank " + std::to_string(ranks[reference]) + " " + found->reference + ". " +
           found->advice;
  }
  return std::nullopt;
}

}  // namespace ringsync
