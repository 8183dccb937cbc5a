#include "engine/order.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "base/error.h"

namespace ringsync {
namespace {

/// Who says in which order calls come that all have.
constexpr int kFirst = 0;

/// So few that are done are not worth a sweep.
constexpr size_t kFewUntold = 64;

/// Some 3 MB; programs that use the same names again have fewer.
constexpr size_t kMostSuccessors = 64 * 1024;

bool is_barrier(const Operation& operation) {
  return operation.request().collective == Collective::kBarrier;
}

bool is_head(const Operation& operation) { return operation.request().group_index == 0; }

/// A join is no call that others could have too.
bool is_told(const Operation& operation) {
  return is_head(operation) && operation.key() != kJoinKey;
}

Operations::iterator end_of_call(Operations& operations, Operations::iterator head) {
  return std::find_if(std::next(head), operations.end(), &is_head);
}

[[noreturn]] void refuse(int rank) {
  throw Error("[engine] rank " + std::to_string(rank) +
              " sent a message on the order of calls that no rank could have written. Run the same "
              "ringsync version on all ranks.");
}

}  // namespace

Order::Order(Operations& operations, const GroupView& group)
    : operations_(operations),
      group_(group),
      told_(static_cast<size_t>(group.size)),
      joined_(told_.size()) {}

void Order::add() {
  if (!has_begun_) return;
  note_own(std::prev(operations_.end()));
  if (untold_.size() < 2 * own_.size() + kFewUntold) return;
  std::erase_if(untold_, [this](const Untold& one) { return !is_untold(one); });
}

void Order::note_own(Head operation) {
  const bool has_room = footprint_.add(operation->request().data);
  const bool is_free = has_room && barriers_ == 0;
  if (is_barrier(*operation)) ++barriers_;
  if (is_told(*operation)) {
    newest_ = operation->key();
    own_[newest_] = {operation, ++number_, is_free};
    untold_.push_back({newest_, number_});
  } else if (!is_head(*operation) && !is_free) {
    own_[newest_].is_free = false;
  }
}

void Order::remove(const Operation& operation) {
  if (!has_begun_) return;
  footprint_.remove(operation.request().data);
  if (is_barrier(operation)) --barriers_;
  if (!is_told(operation)) return;
  own_.erase(operation.key());
  forget(operation.key(), operation.request().name.has_value());
}

void Order::remove(const Header& call) {
  if (has_begun_ && call.group_index == 0) forget(call.key, call.is_named);
}

void Order::forget(uint64_t key, bool is_named) {
  agreed_.erase(key);
  for (auto& keys : told_) keys.erase(key);
  if (!is_named) return;
  // Of names that are used once nothing is learnt.
  if (successors_.size() >= kMostSuccessors) successors_.clear();
  successors_[last_] = key;
  last_ = key;
}

void Order::foresee() {
  const Operation& front = operations_.front();
  const bool is_alone = std::next(operations_.begin()) == operations_.end();
  // What has begun goes on: it is first on all ranks, as is what they have agreed on.
  if (!has_begun_ || is_alone || !is_head(front) || !agreed_.empty()) return;
  uint64_t key = front.key();
  const ByteSpan message =
      group_.rank == kFirst ? ByteSpan() : group_.board.peek(kFirst, group_.board.segment_bytes());
  if (!message.empty()) {
    // Right behind what all ranks read of each announcement.
    std::memcpy(&key, message.data() + sizeof(Summary), sizeof(key));
  }
  // A first rank that has joined foresees nothing.
  if (message.empty() || key == kJoinKey) {
    const auto next = successors_.find(last_);
    if (next != successors_.end()) key = next->second;
  }
  if (key == front.key()) return;
  const auto own = own_.find(key);
  if (own != own_.end() && own->second.is_free) put_before(operations_.begin(), key);
}

bool Order::is_waiting() const {
  const auto next = successors_.find(last_);
  return next != successors_.end() && agreed_.empty() && !own_.contains(next->second);
}

void Order::begin(uint64_t sequence, const std::vector<Header>& headers) {
  is_open_ = true;
  sequence_ = sequence;
  began_ns_ = now_ns();
  announced_.clear();
  for (const Header& header : headers) announced_.push_back(label_of(header));
  next_.clear();
  std::ranges::transform(headers, joined_.begin(), &is_join);
  if (group_.rank == kFirst) look_again();
  if (std::exchange(has_begun_, true)) return;
  for (auto at = operations_.begin(); at != operations_.end(); ++at) note_own(at);
}

/// On the first rank: what was told before may be common now that others have joined.
void Order::look_again() {
  if (std::ranges::count(joined_, 0) == group_.size) return;
  common_.clear();
  std::unordered_set<uint64_t> seen;
  for (const auto& keys : told_) {
    for (const uint64_t key : keys) {
      if (seen.insert(key).second && is_common(key) && !agreed_.contains(key)) {
        common_.push_back(key);
      }
    }
  }
}

Progress Order::advance() {
  bool has_moved = tell();
  has_moved |= listen();
  if (group_.rank == kFirst) decide();
  if (next_.empty()) return has_moved ? Progress::kMoved : Progress::kBlocked;
  is_open_ = false;
  if (joined_[static_cast<size_t>(group_.rank)]) return Progress::kDone;
  auto place = operations_.begin();
  for (const uint64_t key : next_) place = put_before(place, key);
  agreed_.insert(next_.begin(), next_.end());
  return Progress::kDone;
}

bool Order::is_untold(const Untold& one) const {
  const auto found = own_.find(one.key);
  return found != own_.end() && found->second.number == one.number;
}

/// Tells the others what this rank has submitted since it last told them.
bool Order::tell() {
  bool has_moved = false;
  while (!untold_.empty()) {
    Keys keys;
    size_t looks = 0;
    for (; looks < untold_.size() && keys.size() < most_keys(); ++looks) {
      if (is_untold(untold_[looks])) keys.push_back(untold_[looks].key);
    }
    if (!keys.empty() && !write(Notice::kPending, keys)) break;
    untold_.erase(untold_.begin(), untold_.begin() + static_cast<std::ptrdiff_t>(looks));
    for (const uint64_t key : keys) note(group_.rank, key);
    has_moved = true;
  }
  return has_moved;
}

bool Order::listen() {
  bool has_moved = false;
  for (int rank = 0; rank < group_.size; ++rank) {
    // Whoever announces has heard what comes next, and so will this rank.
    for (ByteSpan message; rank != group_.rank && next_.empty();) {
      message = group_.board.peek(rank, group_.board.segment_bytes());
      Summary summary;
      if (message.empty()) break;
      std::memcpy(&summary, message.data(), sizeof(Summary));
      if (summary.notice == Notice::kAnnouncement) break;
      hear(rank, message);
      group_.board.release(rank);
      has_moved = true;
    }
  }
  return has_moved;
}

void Order::hear(int rank, ByteSpan message) {
  Summary summary;
  std::memcpy(&summary, message.data(), sizeof(Summary));
  const bool is_order = summary.notice == Notice::kOrder && rank == kFirst && is_open_ &&
                        summary.sequence == sequence_ && summary.count > 0;
  if (summary.count > most_keys() || (summary.notice != Notice::kPending && !is_order)) {
    refuse(group_.ranks[static_cast<size_t>(rank)]);
  }
  Keys keys(summary.count);
  std::memcpy(keys.data(), message.data() + sizeof(Summary), keys.size() * sizeof(uint64_t));
  if (is_order) {
    next_ = std::move(keys);
  } else {
    for (const uint64_t key : keys) note(rank, key);
  }
}

void Order::note(int rank, uint64_t key) {
  told_[static_cast<size_t>(rank)].insert(key);
  if (group_.rank == kFirst && is_common(key)) common_.push_back(key);
}

bool Order::is_common(uint64_t key) const {
  for (size_t rank = 0; rank < told_.size(); ++rank) {
    if (!joined_[rank] && !told_[rank].contains(key)) return false;
  }
  return true;
}

/// On the first rank: says what comes next, if there is anything that all have and room to say it.
void Order::decide() {
  // What ranks have agreed on without asking since then is done.
  std::erase_if(common_, [this](uint64_t key) { return !is_common(key); });
  // In its own order, so that the next step finds the same one, whoever was late in this one.
  // Having joined, it has none.
  std::ranges::stable_sort(common_, {}, [this](uint64_t key) {
    const auto own = own_.find(key);
    return own == own_.end() ? 0 : own->second.number;
  });
  Keys keys = common_;
  keys.resize(std::min(keys.size(), most_keys()));
  if (keys.empty() || !write(Notice::kOrder, keys)) return;
  common_.erase(common_.begin(), common_.begin() + static_cast<std::ptrdiff_t>(keys.size()));
  next_ = std::move(keys);
}

/// Returns where the next call comes.
Order::Head Order::put_before(Head place, uint64_t key) {
  const auto found = own_.find(key);
  if (found == own_.end()) refuse(group_.ranks[kFirst]);
  const Head head = found->second.head;
  const auto end = end_of_call(operations_, head);
  if (head == place) return end;
  operations_.splice(place, operations_, head, end);
  return place;
}

bool Order::write(Notice notice, const Keys& keys) {
  const size_t bytes = keys.size() * sizeof(uint64_t);
  const MutableByteSpan room = group_.board.reserve(sizeof(Summary) + bytes);
  if (room.empty()) return false;
  Summary summary;
  summary.sequence = sequence_;
  summary.count = keys.size();
  summary.notice = notice;
  std::memcpy(room.data(), &summary, sizeof(Summary));
  std::memcpy(room.data() + sizeof(Summary), keys.data(), bytes);
  group_.board.commit();
  return true;
}

std::vector<int> Order::missing_for(const Operation& operation) const {
  std::vector<int> missing;
  for (int rank = 0; rank < group_.size; ++rank) {
    const auto place = static_cast<size_t>(rank);
    if (rank == group_.rank || joined_[place]) continue;
    if (!told_[place].contains(operation.key())) missing.push_back(rank);
  }
  if (!missing.empty()) return missing;
  // The first rank itself only waits for room to say it.
  return group_.rank == kFirst ? group_.others() : std::vector<int>{kFirst};
}

}  // namespace ringsync
