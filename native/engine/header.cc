#include "engine/header.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <functional>
#include <limits>
#include <span>
#include <string_view>

#include "base/error.h"
#include "base/text.h"

namespace ringsync {
namespace {

std::string_view name_of(ReduceOp op) {
  switch (op) {
    case ReduceOp::kAverage:
      return "Average";
    case ReduceOp::kSum:
      return "Sum";
    case ReduceOp::kMin:
      return "Min";
    case ReduceOp::kMax:
      return "Max";
    case ReduceOp::kProduct:
      return "Product";
  }
  __builtin_unreachable();
}

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
  return {field.data(), ::strnlen(field.data(), n)};
}

std::string name_of(const Header& header) { return read_field(header.name); }

/// The shortest decimal that reads back as `value`.
std::string text_of(double value) {
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

std::string scales_text(const Header& header) {
  return "prescale " + text_of(header.prescale) + ", postscale " + text_of(header.postscale);
}

/// Bits, because signatures compare them too.
bool has_equal_scales(const Header& a, const Header& b) {
  const auto bits = [](double value) { return std::bit_cast<uint64_t>(value); };
  return bits(a.prescale) == bits(b.prescale) && bits(a.postscale) == bits(b.postscale);
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

/// A header whose numbers contradict each other was not written by make_header.
bool is_consistent(const Header& header) {
  if (header.dimensions > kMaxDimensions) return false;
  const auto shape = std::span(header.shape).first(header.dimensions);
  if (std::ranges::count(shape, 0) > 0) return header.count == 0;
  uint64_t count = 1;
  for (size_t i = 0; i < header.dimensions; ++i) {
    const auto length = static_cast<uint64_t>(header.shape[i]);
    if (header.shape[i] < 0) return false;
    if (count > std::numeric_limits<uint32_t>::max() * uint64_t{1024} / length) {
      return false;  // beyond 4 Ti elements: no host holds such an array
    }
    count *= length;
  }
  return count == header.count;
}

/// What two headers disagree on, as "rank a ..., rank b ..." parts; empty when they agree.
struct Difference {
  std::string mine;
  std::string reference;
  std::string advice;
};

Difference root_difference(const Header& mine, const Header& reference) {
  if (mine.collective == Collective::kSend) {
    // The reference is rank 0 of the two.
    const std::string what = reference.root == 0 ? "sends" : "receives";
    return {
        what, what + " as well",
        "Let one of them send and the other receive; what two ranks send each other goes in the "
        "order of their calls."};
  }
  return {"named root " + std::to_string(mine.root), std::to_string(reference.root),
          "Use one root on all ranks."};
}

std::optional<Difference> difference(const Header& mine, const Header& reference) {
  if (!is_consistent(mine)) {
    return Difference{"sent a damaged header", "a good one",
                      "Run the same ringsync version on all ranks."};
  }
  if (mine.collective != reference.collective || mine.name_hash != reference.name_hash ||
      mine.sequence != reference.sequence) {
    const auto what = [](const Header& h) {
      return to_string(h.collective) + " '" + name_of(h) + "'";
    };
    return Difference{"submitted " + what(mine), what(reference),
                      "Submit the same operations in the same order on all ranks."};
  }
  if (mine.root != reference.root) return root_difference(mine, reference);
  if (mine.dtype != reference.dtype) {
    return Difference{"sent " + std::string(name(mine.dtype)), std::string(name(reference.dtype)),
                      "Use one dtype on all ranks."};
  }
  const bool is_gather =
      mine.collective == Collective::kAllgather || mine.collective == Collective::kAlltoall;
  if (!has_equal_shape(mine, reference, is_gather ? 1 : 0)) {
    return Difference{"sent shape " + shape_text(mine), shape_text(reference),
                      is_gather ? "Only the first dimension may differ between ranks."
                                : "Build the same model on all ranks."};
  }
  if (mine.op != reference.op) {
    return Difference{"asked for " + std::string(name_of(mine.op)),
                      std::string(name_of(reference.op)), "Use one op on all ranks."};
  }
  if (!has_equal_scales(mine, reference)) {
    return Difference{"asked for " + scales_text(mine), scales_text(reference),
                      "Use one prescale and one postscale on all ranks."};
  }
  if (mine.algorithm != reference.algorithm) {
    return Difference{"prefers algorithm '" + read_field(mine.algorithm) + "'",
                      "'" + read_field(reference.algorithm) + "'",
                      "Set RINGSYNC_ALGORITHM alike on all ranks."};
  }
  return std::nullopt;
}

void check_splits(const Request& request, int size) {
  auto rest = static_cast<uint64_t>(request.shape[0]);
  bool is_cut = request.splits.size() == static_cast<size_t>(size);
  for (const uint64_t rows : request.splits) {
    is_cut = is_cut && rows <= rest;
    rest -= rows;
  }
  if (is_cut && rest == 0) return;
  throw ConfigError("[alltoall] " + std::to_string(request.splits.size()) + " splits do not cut " +
                    std::to_string(request.shape[0]) + " rows for " + std::to_string(size) +
                    " ranks. Give each rank's rows, all rows in total.");
}

void check_peer(const Request& request, int rank, int size) {
  const bool is_peer = request.peer >= 0 && request.peer < size && request.peer != rank;
  if (is_peer && (request.root == rank || request.root == request.peer)) return;
  throw ConfigError("[send] rank " + std::to_string(rank) + " names rank " +
                    std::to_string(request.peer) + " as its peer and rank " +
                    std::to_string(request.root) + " as the sender; another rank below " +
                    std::to_string(size) + " is expected, and one of the two. Correct the caller.");
}

}  // namespace

void check_request(const Request& request, int rank, int size) {
  const std::string place = "[" + to_string(request.collective) + "] ";
  if (request.shape.size() > kMaxDimensions) {
    throw ConfigError(place + "the array has " + std::to_string(request.shape.size()) +
                      " dimensions; at most " + std::to_string(kMaxDimensions) +
                      " are supported. Reshape it.");
  }
  const bool is_scatter = request.collective == Collective::kReduceScatter;
  const bool is_alltoall = request.collective == Collective::kAlltoall;
  const bool is_gather = request.collective == Collective::kAllgather;
  if ((is_gather || is_scatter || is_alltoall) && request.shape.empty()) {
    throw ConfigError(place + "a scalar has no first dimension. Pass x.reshape(1).");
  }
  if (is_alltoall) check_splits(request, size);
  if (request.collective == Collective::kSend) check_peer(request, rank, size);
  const bool is_sum = request.collective == Collective::kAllreduce || is_scatter;
  const bool is_extreme = request.op == ReduceOp::kMin || request.op == ReduceOp::kMax;
  if (is_sum && !is_summable(request.dtype) && !is_extreme) {
    throw ConfigError(place + std::string(name(request.dtype)) + " cannot be reduced by " +
                      std::string(name_of(request.op)) +
                      "; Min (all) or Max (any) is expected. Use one of them, or astype(int32).");
  }
  if (!is_summable(request.dtype) && (request.prescale != 1 || request.postscale != 1)) {
    throw ConfigError(place + std::string(name(request.dtype)) +
                      " cannot be scaled; prescale and postscale 1 are expected. Leave them out, "
                      "or use astype(int32).");
  }
}

void check_disjoint(const std::vector<Request>& requests) {
  std::vector<const Request*> sorted;
  for (const Request& request : requests) {
    if (!request.data.empty()) sorted.push_back(&request);
  }
  std::ranges::sort(sorted, {}, [](const Request* request) { return request->data.data(); });
  for (size_t i = 1; i < sorted.size(); ++i) {
    const MutableByteSpan before = sorted[i - 1]->data;
    if (before.data() + before.size() <= sorted[i]->data.data()) continue;
    const auto number = [&](size_t at) { return std::to_string(sorted[at] - requests.data()); };
    throw ConfigError("[" + to_string(requests[0].collective) + "] arrays " + number(i - 1) +
                      " and " + number(i) + " of the group share memory. Pass each array once.");
  }
}

Header make_header(const Request& request, uint64_t sequence, const std::string& algorithm) {
  Header header;
  header.sequence = sequence;
  header.name_hash = hash_of(request.name);
  header.address = reinterpret_cast<uint64_t>(request.data.data());
  header.count = request.data.size() / size_bytes(request.dtype);
  std::ranges::copy(request.shape, header.shape.begin());
  header.prescale = request.prescale;
  header.postscale = request.postscale;
  header.root = request.root;
  header.collective = request.collective;
  header.dtype = request.dtype;
  header.op = request.op;
  header.dimensions = static_cast<uint8_t>(request.shape.size());
  write_field(header.name, request.name);
  write_field(header.algorithm, algorithm);
  return header;
}

uint64_t signature_of(const Request& request) {
  uint64_t hash = hash_of(request.name);
  const auto add = [&hash](uint64_t value) {
    hash = (hash ^ value) * kHashPrime;
    hash ^= hash >> 32;  // the product's low half does not depend on the value's high half
  };
  add(static_cast<uint64_t>(request.collective) << 24 | static_cast<uint64_t>(request.dtype) << 16 |
      static_cast<uint64_t>(request.op) << 8 | request.shape.size());
  for (const int64_t length : request.shape) add(static_cast<uint64_t>(length));
  add(static_cast<uint64_t>(request.root));
  add(std::bit_cast<uint64_t>(request.prescale));
  add(std::bit_cast<uint64_t>(request.postscale));
  return hash;
}

std::optional<std::string> find_mismatch(const std::vector<Header>& headers,
                                         const std::vector<int>& ranks) {
  const Header& reference = headers[0];
  for (size_t rank = 0; rank < headers.size(); ++rank) {
    const std::optional<Difference> found = difference(headers[rank], reference);
    if (!found) continue;
    return "[" + to_string(reference.collective) + "] '" + name_of(reference) + "': rank " +
           std::to_string(ranks[rank]) + " " + found->mine + ", rank " + std::to_string(ranks[0]) +
           " " + found->reference + ". " + found->advice;
  }
  return std::nullopt;
}

}  // namespace ringsync
