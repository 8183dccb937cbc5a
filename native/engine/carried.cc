#include "engine/carried.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string>

#include "base/error.h"

namespace ringsync {
namespace {

/// Every carried array starts at a multiple of this: no vector load straddles two lines more than
/// the array's own alignment makes it.
constexpr size_t kCarriedAlignment = 16;

/// Most operations in one announcement: beyond some hundred the header's share of the cost is gone.
constexpr size_t kMostCarried = 256;

/// So many are passed that cannot be carried: a look at one costs as much as it costs to compare
/// its memory with that of all before it.
constexpr size_t kMostPassed = 16;

size_t carried_bytes(const Operation& operation, int rank) {
  return round_up(operation.contribution_bytes(rank), kCarriedAlignment);
}

/// Of a bucket on a device.
size_t bucket_bytes(const Operation& operation) {
  return operation.is_on_host() ? 0 : round_up(operation.request().data.size(), kBucketAlignment);
}

/// Where the data begins in an announcement of `operations`.
size_t data_offset(size_t operations) {
  return sizeof(Header) + round_up((operations - 1) * sizeof(uint64_t), kCarriedAlignment);
}

[[noreturn]] void refuse(int rank, const std::string& what) {
  throw Error("[engine] rank " + std::to_string(rank) + " announced " + what +
              ". Run the same ringsync version on all ranks.");
}

}  // namespace

void Carried::begin(Operations::iterator first) {
  chosen_.assign(1, first);
  taken_bytes_.clear();
}

/// Adds to the first operation what travels with it, past what is too large. Ranks that have the
/// same before them choose alike. Another call than the first one's goes as a whole or not at all:
/// ranks that do not have it at one place would be left with unlike parts of it in front.
void Carried::choose(Operations& operations, bool is_alone) {
  const Operation& first = *chosen_[0];
  size_t data_bytes = carried_bytes(first, group_.rank);
  size_t room_bytes = group_.bucket_bytes - std::min(group_.bucket_bytes, bucket_bytes(first));
  message_bytes_ = data_offset(1) + data_bytes;
  if (is_alone) return;
  before_.assign(1, request(0).data);
  size_t passed = 0;
  size_t whole = 1;  // chosen when the call at hand began
  size_t whole_bytes = message_bytes_;
  bool is_first_call = true;
  auto at = std::next(operations.begin());
  for (; at != operations.end() && passed < kMostPassed && chosen_.size() < kMostCarried; ++at) {
    const Request& next = at->request();
    if (next.group_index == 0) {
      is_first_call = false;
      whole = chosen_.size();
      whole_bytes = message_bytes_;
    }
    const size_t more_bytes = carried_bytes(*at, group_.rank);
    const size_t on_device_bytes = bucket_bytes(*at);
    const size_t bytes = data_offset(chosen_.size() + 1) + data_bytes + more_bytes;
    const bool is_free = !shares_memory(next.data);
    before_.push_back(next.data);
    if (at->is_carriable(group_) && at->goes_with(first) && on_device_bytes <= room_bytes &&
        bytes <= group_.carried_limit_bytes() + sizeof(Header) && is_free) {
      data_bytes += more_bytes;
      room_bytes -= on_device_bytes;
      message_bytes_ = bytes;
      chosen_.push_back(at);
    } else if (next.collective == Collective::kBarrier) {
      return;  // nothing that was submitted behind it goes before it
    } else if (!is_first_call && next.group_count > 1) {
      break;
    } else {
      ++passed;
    }
  }
  if (is_first_call || at == operations.end() || at->request().group_index == 0) return;
  chosen_.resize(whole);
  message_bytes_ = whole_bytes;
}

/// What an operation works on is also that of one before it: peers would get its values from before
/// that one, and this rank would reduce those from after it.
bool Carried::shares_memory(MutableByteSpan data) const {
  return std::ranges::any_of(before_,
                             [data](MutableByteSpan other) { return overlap(data, other); });
}

void Carried::write(MutableByteSpan room) const {
  for (size_t k = 1; k < chosen_.size(); ++k) {
    const uint64_t signature = chosen_[k]->signature();
    std::memcpy(room.data() + sizeof(Header) + (k - 1) * sizeof(uint64_t), &signature,
                sizeof(uint64_t));
  }
  size_t offset = data_offset(chosen_.size());
  for (const auto& one : chosen_) {
    const size_t bytes = one->contribution_bytes(group_.rank);
    if (bytes > 0) std::memcpy(room.data() + offset, one->values().data(), bytes);
    offset += carried_bytes(*one, group_.rank);
  }
}

size_t Carried::count_alike(std::span<const Header> headers, std::span<const ByteSpan> messages,
                            bool is_alone) {
  size_t agreed = is_alone ? 1 : chosen_.size();
  for (int i = 0; i < group_.size; ++i) {
    const auto rank = static_cast<size_t>(i);
    const size_t theirs = headers[rank].operations;
    if (theirs == 0 || theirs > kMostCarried) {
      refuse(group_.ranks[rank], std::to_string(theirs) + " operations at once");
    }
    taken_bytes_.push_back(data_offset(theirs));
    agreed = std::min(agreed, theirs);
    if (i == group_.rank) continue;
    for (size_t k = 1; k < agreed; ++k) {
      uint64_t signature = 0;
      const size_t offset = sizeof(Header) + (k - 1) * sizeof(uint64_t);
      std::memcpy(&signature, messages[rank].data() + offset, sizeof(uint64_t));
      // What differs comes first in the next round, where headers tell how.
      if (signature != chosen_[k]->signature()) agreed = k;
    }
  }
  return whole_calls(agreed);
}

/// Another call than the first one's is agreed on as it was chosen, as a whole or not at all: no
/// rank may be left with the rest of one amid other calls.
size_t Carried::whole_calls(size_t agreed) const {
  size_t whole = agreed;
  while (whole > 0 && whole < chosen_.size() && request(whole).group_index > 0) --whole;
  return whole == 0 ? agreed : whole;
}

std::span<const ByteSpan> Carried::take(size_t index, std::span<const ByteSpan> messages,
                                        const JoinedRanks& joined) {
  const MutableByteSpan own = chosen_[index]->values();
  sources_.clear();
  for (int i = 0; i < group_.size; ++i) {
    const auto rank = static_cast<size_t>(i);
    if (joined.has(rank)) continue;
    if (i == group_.rank) {
      sources_.emplace_back(own);
      continue;
    }
    size_t& offset = taken_bytes_[rank];
    const size_t bytes = chosen_[index]->contribution_bytes(i);
    if (offset + bytes > messages[rank].size()) {
      refuse(group_.ranks[rank], "more than a message holds");
    }
    sources_.push_back(messages[rank].subspan(offset, bytes));
    offset += carried_bytes(*chosen_[index], i);
  }
  return sources_;
}

}  // namespace ringsync
