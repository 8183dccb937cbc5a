#pragma once

// The groups of an engine by number, as its callers know them: all ranks, every two of them in each
// direction, and those that were made of some. What becomes of their operations is not seen here.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/group.h"
#include "engine/request.h"

namespace ringsync {

/// What callers have in flight: how many operations, and the name of one, if any has one.
struct InFlight {
  size_t count = 0;
  std::string name;
};

/// One thread at a time.
class Groups {
 public:
  /// One of them, and what its callers have in flight.
  struct Entry {
    std::shared_ptr<Group> group;
    std::set<std::string> names;   // chosen by callers, in flight
    uint64_t calls = 0;            // without a name
    bool has_joined = false;       // this rank, and not every rank
    std::optional<Ending> ending;  // of all that was in flight, and of all that comes
  };

  /// Of rank `rank` of a world of `size`, none of which there is yet.
  Groups(int rank, int size);

  /// The world, and those that connect_pairs() makes, by pair_index(); null where there is none.
  void set_first(std::shared_ptr<Group> world, std::vector<std::shared_ptr<Group>> pairs);
  /// Returns its number, which none has had before.
  size_t add(std::shared_ptr<Group> group);
  /// Takes out one that was added. Throws ConfigError where there is none of that number, or some
  /// of its operations are in flight.
  std::shared_ptr<Group> remove(size_t number);
  /// For `call`, as messages name it. Throws ConfigError where there is none of that number.
  Entry& at(const std::string& call, size_t number);
  InFlight in_flight() const;
  /// `only`, or all if that is null.
  std::vector<std::shared_ptr<Group>> some(const Group* only) const;
  /// For those, and if they are all also for those that are added. The first ending is kept.
  void end(const Group* only, const Ending& ending);

  /// What takes the request, which is told its number if it is a send. Throws ConfigError for a
  /// request that no rank could serve, or to a group that is closed.
  Entry& admit(Request& request);
  /// Takes the name of an admitted request, if it has one. Throws DuplicateNameError, or
  /// ConfigError where this rank has joined.
  void claim(Entry& entry, const Request& request) const;
  void release(const Request& request);
  /// A join is done: calls without a name are counted on from its number. Ranks may have made
  /// unlike numbers of them before all had joined.
  void count_from(const Request& join) { entries_.at(join.group).calls = join.number; }

 private:
  size_t first_added() const { return 1 + 2 * static_cast<size_t>(size_); }

  const int rank_;
  const int size_;
  size_t next_;
  std::optional<Ending> ending_;  // of all groups
  std::map<size_t, Entry> entries_;
};

}  // namespace ringsync
