#include "engine/groups.h"

#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "engine/members.h"

namespace ringsync {
namespace {

constexpr size_t kFirstPair = kWorld + 1;

}  // namespace

Groups::Groups(int rank, int size) : rank_(rank), size_(size), next_(first_added()) {}

void Groups::set_first(std::shared_ptr<Group> world, std::vector<std::shared_ptr<Group>> pairs) {
  entries_[kWorld].group = std::move(world);
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (pairs[i]) entries_[kFirstPair + i].group = std::move(pairs[i]);
  }
}

size_t Groups::add(std::shared_ptr<Group> group) {
  Entry& entry = entries_[next_];
  entry.group = std::move(group);
  entry.ending = ending_;
  return next_++;
}

std::shared_ptr<Group> Groups::remove(size_t number) {
  const auto found = entries_.find(number);
  if (number < first_added() || found == entries_.end()) {
    throw ConfigError("[close] there is no group of number " + std::to_string(number) +
                      " to be closed. Close each group once.");
  }
  std::shared_ptr<Group>& group = found->second.group;
  if (const size_t left = group->in_flight(); left > 0) {
    throw ConfigError(
        "[close] " + group->name() + ": " + std::to_string(left) +
        (left == 1 ? " operation is" : " operations are") + " in flight on rank " +
        std::to_string(rank_) +
        ". Wait for the handles first (wait() without a stream waits for the device).");
  }
  std::shared_ptr<Group> removed = std::move(group);
  entries_.erase(found);
  return removed;
}

Groups::Entry& Groups::at(const std::string& call, size_t number) {
  const auto found = entries_.find(number);
  if (found != entries_.end()) return found->second;
  throw ConfigError("[" + call + "] group number " + std::to_string(number) +
                    " is closed, or none, on rank " + std::to_string(rank_) + ". Make a new one.");
}

InFlight Groups::in_flight() const {
  InFlight found;
  for (const auto& [number, entry] : entries_) {
    found.count += entry.group->in_flight();
    if (found.name.empty() && !entry.names.empty()) found.name = *entry.names.begin();
  }
  return found;
}

std::vector<std::shared_ptr<Group>> Groups::some(const Group* only) const {
  std::vector<std::shared_ptr<Group>> groups;
  for (const auto& [number, entry] : entries_) {
    if (only == nullptr || entry.group.get() == only) groups.push_back(entry.group);
  }
  return groups;
}

void Groups::end(const Group* only, const Ending& ending) {
  for (auto& [number, entry] : entries_) {
    const bool is_meant = only == nullptr || entry.group.get() == only;
    if (is_meant && !entry.ending) entry.ending = ending;
  }
  if (only == nullptr && !ending_) ending_ = ending;
}

Groups::Entry& Groups::admit(Request& request) {
  if (request.collective == Collective::kSend) {
    check_peer(request, rank_, size_);
    const int receiver = request.root == rank_ ? request.peer : rank_;
    request.group = kFirstPair + pair_index(rank_, request.root, receiver);
  }
  Entry& entry = at(call_of(request), request.group);
  check_request(request, entry.group->ranks());
  return entry;
}

void Groups::claim(Entry& entry, const Request& request) const {
  if (entry.has_joined) {
    throw ConfigError("[" + call_of(request) + "] rank " + std::to_string(rank_) +
                      " has joined, and takes part with zeros until every rank has. Submit it "
                      "before join(), or after join() has returned.");
  }
  entry.has_joined = request.collective == Collective::kJoin;
  if (!request.name || entry.names.insert(*request.name).second) return;
  const bool is_added = request.group >= first_added();
  throw DuplicateNameError("[" + call_of(request) + "] " + in_quotes(*request.name) +
                           " is still in flight on rank " + std::to_string(rank_) +
                           (is_added ? " in " + entry.group->name() : "") +
                           ". Wait for its handle, or use another name.");
}

void Groups::release(const Request& request) {
  if (request.name) entries_.at(request.group).names.erase(*request.name);
  if (request.collective == Collective::kJoin) entries_.at(request.group).has_joined = false;
}

}  // namespace ringsync
