#include "engine/announcement.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace ringsync {

Announcement::Announcement(Operations& operations, const GroupView& group, Order& order)
    : operations_(operations),
      group_(group),
      order_(order),
      carried_(group),
      headers_(static_cast<size_t>(group.size)),
      joined_(group.size),
      messages_(headers_.size()) {}

void Announcement::begin(uint64_t sequence) {
  is_open_ = true;
  is_announced_ = group_.size == 1;
  std::ranges::fill(messages_, ByteSpan());
  carried_.begin(operations_.begin());
  Operation& first = operations_.front();
  Header& own = headers_[static_cast<size_t>(group_.rank)];
  own = make_header(first.request(), first.values(), first.signature(), sequence, group_.algorithm);
  if (group_.transport.can_reach()) own.reach_from = group_.reach_from;
  message_bytes_ = sizeof(Header) + first.request().splits.size() * sizeof(uint64_t);
  const size_t limit = group_.carried_limit_bytes();
  if (message_bytes_ > sizeof(Header) + limit && group_.size > 1) {
    throw ConfigError(place_of(first.request()) + "splits for " + std::to_string(group_.size) +
                      " ranks do not fit a message of " + std::to_string(limit) +
                      " bytes. Use fewer ranks on one host.");
  }
  own.site = first.announced_site();
  own.is_carried = first.is_carriable(group_);
  if (own.is_carried) {
    carried_.choose(operations_, joined_.is_any());
    message_bytes_ = carried_.message_bytes();
  } else {
    own.registration = first.show(group_);
  }
  own.operations = static_cast<uint32_t>(carried_.count());
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
  const std::vector<uint64_t>& own = operations_.front().request().splits;
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
        throw Error("[engine] rank " + std::to_string(group_.ranks[static_cast<size_t>(i)]) +
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
  return is_carried() ? carried_.count_alike(headers_, messages_, joined_.is_any()) : 0;
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
  if (const auto& splits = operations_.front().request().splits; !splits.empty()) {
    std::memcpy(room.data() + sizeof(Header), splits.data(), splits.size() * sizeof(uint64_t));
  }
  if (own.is_carried) carried_.write(room);
}

}  // namespace ringsync
