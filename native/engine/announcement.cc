#include "engine/announcement.h"

#include <algorithm>
#include <cstring>
#include <iterator>

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

size_t carried_bytes(const Request& request, int rank) {
  return round_up(contribution_bytes(request, rank), kCarriedAlignment);
}

/// Where the data begins in an announcement of `operations`.
size_t data_offset(size_t operations) {
  return sizeof(Header) + round_up((operations - 1) * sizeof(uint64_t), kCarriedAlignment);
}

}  // namespace

Announcement::Announcement(Operations& operations, const GroupView& group, Order& order)
    : operations_(operations),
      group_(group),
      order_(order),
      headers_(static_cast<size_t>(group.size)),
      joined_(group.size),
      messages_(headers_.size()) {}

void Announcement::begin(uint64_t sequence) {
  is_open_ = true;
  taken_bytes_.clear();
  is_announced_ = group_.size == 1;
  std::ranges::fill(messages_, ByteSpan());
  chosen_.assign(1, operations_.begin());
  Operation& first = operations_.front();
  Header& own = headers_[static_cast<size_t>(group_.rank)];
  own = make_header(first.request(), first.signature(), sequence, group_.algorithm);
  if (group_.transport.can_reach()) own.reach_from = group_.reach_from;
  message_bytes_ = sizeof(Header) + first.request().splits.size() * sizeof(uint64_t);
  const size_t limit = group_.carried_limit_bytes();
  if (message_bytes_ > sizeof(Header) + limit && group_.size > 1) {
    throw ConfigError("[alltoall] '" + label_of(first.request()) + "': splits for " +
                      std::to_string(group_.size) + " ranks do not fit a message of " +
                      std::to_string(limit) + " bytes. Use fewer ranks on one host.");
  }
  own.is_carried = is_carriable(first.request(), group_);
  if (own.is_carried) {
    choose();
  } else {
    own.registration = first.show(group_);
  }
  own.operations = static_cast<uint32_t>(chosen_.size());
}

/// Adds to the first operation what travels with it, past what is too large. Ranks that have the
/// same before them choose alike. Another call than the first one's goes as a whole or not at all:
/// ranks that do not have it at one place would be left with unlike parts of it in front.
void Announcement::choose() {
  size_t data_bytes = carried_bytes(request(0), group_.rank);
  message_bytes_ = data_offset(1) + data_bytes;
  if (joined_.is_any()) return;  // of the rest a joined rank would know nothing
  before_.assign(1, request(0).data);
  size_t passed = 0;
  size_t whole = 1;  // chosen when the call at hand began
  size_t whole_bytes = message_bytes_;
  bool is_first_call = true;
  auto at = std::next(operations_.begin());
  for (; at != operations_.end() && passed < kMostPassed && chosen_.size() < kMostCarried; ++at) {
    const Request& next = at->request();
    if (next.group_index == 0) {
      is_first_call = false;
      whole = chosen_.size();
      whole_bytes = message_bytes_;
    }
    const size_t more_bytes = carried_bytes(next, group_.rank);
    const size_t bytes = data_offset(chosen_.size() + 1) + data_bytes + more_bytes;
    const bool is_free = !shares_memory(next.data);
    before_.push_back(next.data);
    if (is_carriable(next, group_) && bytes <= group_.carried_limit_bytes() + sizeof(Header) &&
        is_free) {
      data_bytes += more_bytes;
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
  if (is_first_call || at == operations_.end() || at->request().group_index == 0) return;
  chosen_.resize(whole);
  message_bytes_ = whole_bytes;
}

/// What an operation works on is also that of one before it: peers would get its values from before
/// that one, and this rank would reduce those from after it.
bool Announcement::shares_memory(MutableByteSpan data) const {
  return std::ranges::any_of(before_, [data](MutableByteSpan other) {
    return data.data() < other.data() + other.size() && other.data() < data.data() + data.size();
  });
}

Progress Announcement::advance() {
  bool has_moved = false;
  if (!is_announced_) {
    if (const MutableByteSpan room = group_.board.reserve(message_bytes_); !room.empty()) {
      write(room);
      group_.board.commit();
      is_announced_ = true;
      has_moved = true;
    }
  }
  bool is_complete = is_announced_;
  for (int i = 0; i < group_.size; ++i) {
    if (i == group_.rank) continue;
    ByteSpan& message = messages_[static_cast<size_t>(i)];
    if (message.empty()) {
      message = next_message(i);
      has_moved |= !message.empty();
    }
    is_complete = is_complete && !message.empty();
  }
  if (is_complete) return Progress::kDone;
  return has_moved ? Progress::kMoved : Progress::kBlocked;
}

/// The announcement of another rank, once it has arrived; its summary goes where headers lie.
ByteSpan Announcement::next_message(int rank) {
  Summary& summary = headers_[static_cast<size_t>(rank)];
  for (;;) {
    // Its length is not known here; the reader's view ends where the slot does.
    const ByteSpan message = group_.board.peek(rank, group_.board.segment_bytes());
    if (message.empty()) return message;
    std::memcpy(&summary, message.data(), sizeof(Summary));
    if (summary.notice == Notice::kAnnouncement) return message;
    order_.hear(rank, message);
    group_.board.release(rank);
  }
}

std::vector<int> Announcement::blocked_on() const {
  std::vector<int> ranks;
  for (int i = 0; i < group_.size; ++i) {
    if (i == group_.rank) continue;
    const bool is_behind = !is_announced_ && group_.board.is_behind(i);
    if (is_behind || message_of(i).empty()) ranks.push_back(i);
  }
  return ranks;
}

bool Announcement::is_one_call() {
  const Header& own = headers_[static_cast<size_t>(group_.rank)];
  reference_ = 0;
  is_alike_ = !is_join(own) && std::ranges::all_of(headers_, [&own](const Header& header) {
    return header.sequence == own.sequence && header.signature == own.signature &&
           header.count == own.count;
  });
  for (int i = 0; i < group_.size; ++i) {
    if (i == group_.rank) continue;
    Header& header = headers_[static_cast<size_t>(i)];
    if (is_alike_) {
      const Summary summary = header;
      header = own;
      static_cast<Summary&>(header) = summary;
    } else {
      std::memcpy(&header, message_of(i).data(), sizeof(Header));
    }
  }
  if (is_alike_) return true;
  joined_.note(headers_);
  if (!ringsync::is_one_call(headers_)) return false;
  if (joined_.is_any() && !joined_.are_all()) stand_in();
  return true;
}

/// Puts the others' header in the place of those of joined ranks.
void Announcement::stand_in() {
  while (joined_.has(reference_)) ++reference_;
  for (size_t i = 0; i < headers_.size(); ++i) {
    if (!joined_.has(i)) continue;
    headers_[i] = headers_[reference_];
    headers_[i].registration = {};
    headers_[i].reach_from = kNobody;  // the largest counts: all ranks take the queues
  }
}

std::optional<std::string> Announcement::find_mismatch() const {
  if (is_alike_) return std::nullopt;
  auto need = find_need_of(joined_, call(), group_.ranks);
  return need ? need : ringsync::find_mismatch(headers_, group_.ranks, reference_);
}

std::vector<uint64_t> Announcement::splits() const {
  const std::vector<uint64_t>& own = request(0).splits;
  std::vector<uint64_t> splits;
  if (own.empty()) return splits;
  for (int i = 0; i < group_.size; ++i) {
    std::vector<uint64_t> theirs = own;
    if (i != group_.rank) {
      std::memcpy(theirs.data(), message_of(i).data() + sizeof(Header),
                  theirs.size() * sizeof(uint64_t));
    }
    auto rest = static_cast<uint64_t>(headers_[static_cast<size_t>(i)].shape[0]);
    for (const uint64_t rows : theirs) {
      if (rows > rest) {
        throw Error("[engine] " + name_of(static_cast<size_t>(i)) +
                    " announced splits of more rows than it has. Run the same ringsync version on "
                    "all ranks.");
      }
      rest -= rows;
    }
    splits.insert(splits.end(), theirs.begin(), theirs.end());
  }
  return splits;
}

bool Announcement::is_carried() const {
  return std::ranges::all_of(headers_, [](const Header& header) { return header.is_carried; });
}

size_t Announcement::count_carried() {
  if (!is_carried()) return 0;
  const Header& own = headers_[static_cast<size_t>(group_.rank)];
  size_t agreed = joined_.is_any() ? 1 : own.operations;
  for (int i = 0; i < group_.size; ++i) {
    const Header& header = headers_[static_cast<size_t>(i)];
    const size_t theirs = header.operations;
    if (theirs == 0 || theirs > kMostCarried) {
      throw Error("[engine] " + name_of(static_cast<size_t>(i)) + " announced " +
                  std::to_string(theirs) +
                  " operations at once. Run the same ringsync version on all ranks.");
    }
    taken_bytes_.push_back(data_offset(theirs));
    agreed = std::min(agreed, theirs);
    if (i == group_.rank) continue;
    for (size_t k = 1; k < agreed; ++k) {
      uint64_t signature = 0;
      const size_t offset = sizeof(Header) + (k - 1) * sizeof(uint64_t);
      std::memcpy(&signature, message_of(i).data() + offset, sizeof(uint64_t));
      // What differs comes first in the next round, where headers tell how.
      if (signature != chosen_[k]->signature()) agreed = k;
    }
  }
  return whole_calls(agreed);
}

/// Another call than the first one's is agreed on as it was chosen, as a whole or not at all: no
/// rank may be left with the rest of one amid other calls.
size_t Announcement::whole_calls(size_t agreed) const {
  size_t whole = agreed;
  while (whole > 0 && whole < chosen_.size() && request(whole).group_index > 0) --whole;
  return whole == 0 ? agreed : whole;
}

std::span<const ByteSpan> Announcement::take_carried(size_t index) {
  const MutableByteSpan own = request(index).data;
  sources_.clear();
  for (int i = 0; i < group_.size; ++i) {
    if (joined_.has(static_cast<size_t>(i))) continue;
    if (i == group_.rank) {
      sources_.emplace_back(own);
      continue;
    }
    size_t& offset = taken_bytes_[static_cast<size_t>(i)];
    const size_t bytes = contribution_bytes(request(index), i);
    if (offset + bytes > message_of(i).size()) {
      throw Error("[engine] " + name_of(static_cast<size_t>(i)) +
                  " announced more than a message holds. " +
                  "Run the same ringsync version on all ranks.");
    }
    sources_.push_back(message_of(i).subspan(offset, bytes));
    offset += carried_bytes(request(index), i);
  }
  return sources_;
}

void Announcement::end() {
  is_open_ = false;
  for (int i = 0; i < group_.size; ++i) {
    if (!message_of(i).empty()) group_.board.release(i);
  }
  if (joined_.are_all()) joined_.forget();
}

void Announcement::write(MutableByteSpan room) const {
  const Header& own = headers_[static_cast<size_t>(group_.rank)];
  std::memcpy(room.data(), &own, sizeof(Header));
  if (const auto& splits = request(0).splits; !splits.empty()) {
    std::memcpy(room.data() + sizeof(Header), splits.data(), splits.size() * sizeof(uint64_t));
  }
  if (!own.is_carried) return;
  for (size_t k = 1; k < chosen_.size(); ++k) {
    const uint64_t signature = chosen_[k]->signature();
    std::memcpy(room.data() + sizeof(Header) + (k - 1) * sizeof(uint64_t), &signature,
                sizeof(uint64_t));
  }
  size_t offset = data_offset(own.operations);
  for (size_t k = 0; k < own.operations; ++k) {
    const size_t bytes = contribution_bytes(request(k), group_.rank);
    if (bytes > 0) std::memcpy(room.data() + offset, request(k).data.data(), bytes);
    offset += carried_bytes(request(k), group_.rank);
  }
}

}  // namespace ringsync
