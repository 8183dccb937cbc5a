#pragma once

// One request on its way: announced to all peers, agreed on, run. It never blocks.

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "collective/executor.h"
#include "engine/handle.h"
#include "engine/header.h"
#include "engine/host_copy.h"
#include "engine/request.h"
#include "engine/staging.h"

namespace ringsync {

class DevicePeers;
struct DeviceStart;

/// What an operation uses of its group.
struct GroupView {
  /// This rank and the number of ranks, within the group.
  int rank = 0;
  int size = 1;
  /// By rank of the group: its number in the world, which messages name.
  const std::vector<int>& ranks;
  /// By rank of the group; null at `rank`.
  const std::vector<std::unique_ptr<Connection>>& connections;
  /// Where all announce, and send what all others read.
  Board& board;
  const Transport& transport;
  /// Algorithm to prefer; empty: the cheapest.
  const std::string& algorithm;
  /// Bytes from which private arrays are reached in place, as far as this rank knows.
  const std::atomic<uint64_t>& reach_from;
  /// Lent to one operation at a time.
  Staging& staging;
  /// Grown on first use.
  std::vector<std::byte>& scratch;
  /// The route of a problem, computed once and kept.
  std::function<std::shared_ptr<const Route>(const Problem&)> route_of;

  /// Most bytes of arrays that devices sum as one; 0 before ranks see each other's.
  size_t bucket_bytes = 0;

  /// Most bytes that an announcement carries beside its header.
  size_t carried_limit_bytes() const;
  /// All ranks but this one.
  std::vector<int> others() const;
};

/// One thread at a time.
class Operation {
 public:
  Operation(Request&& request, std::shared_ptr<Handle> handle);

  const Request& request() const { return request_; }
  uint64_t key() const { return key_; }
  uint64_t signature() const { return signature_; }
  const Times& times() const { return times_; }
  void set_started(int64_t at_ns) { times_.started_ns = at_ns; }
  void set_agreed(int64_t at_ns) { times_.agreed_ns = at_ns; }
  void set_done(int64_t at_ns) { times_.done_ns = at_ns; }
  const std::shared_ptr<Handle>& handle() const { return handle_; }
  /// The handle, if somebody sleeps on it who is to be woken; else null. As Handle::complete().
  std::shared_ptr<Handle> complete(std::exception_ptr error, std::shared_ptr<const Gate> gate) {
    return handle_->complete(times_, std::move(error), std::move(gate)) ? handle_ : nullptr;
  }

  /// Where the array's values are worked on: where it lies, or for one on a device in a copy.
  MutableByteSpan values() const { return copy_ ? copy_->bytes() : request_.data; }
  /// Small enough to travel with its announcement, or with that of another: its values, or on
  /// devices the word that they are there. On ranks that ask for the same it may differ only by
  /// whose array is registered.
  bool is_carriable(const GroupView& group) const;
  /// Can be done in one with `first`, and its values have come. Throws Error where the device has
  /// failed.
  bool goes_with(const Operation& first) const;
  /// What a carried operation brings along of `rank`: of a send, nothing from the receiver; nothing
  /// of what lies on devices.
  size_t contribution_bytes(int rank) const;

  /// Once, before all that follows: of the group that has to do it.
  void enter(const GroupView& group);
  /// Another operation works on the array too, and the order of the two is not known yet.
  void share_array() { is_shared_ = true; }
  bool shares_array() const { return is_shared_; }
  /// It is served, on a device.
  bool lies_on_device() const { return copy_.has_value(); }
  /// Where it is worked on, once that is chosen.
  const std::optional<Site>& site() const { return site_; }
  bool is_by_nccl() const { return site_ == Site::kNccl; }
  bool is_on_host() const { return site_.value_or(Site::kHost) == Site::kHost; }
  /// What this rank tells the others of that.
  Site announced_site() const;
  /// `share_at`: where peers learn of this rank's memory on the device.
  void set_site(Site site, Registration share_at) {
    site_ = site;
    share_at_ = share_at;
  }
  void forget_site() { site_.reset(); }
  /// It could be worked on where it lies; with `peers`, if that is known, in memory of theirs.
  bool can_stay(const GroupView& group, const DevicePeers* peers) const;
  /// All ranks have agreed that it comes next, and will announce it once more.
  void set_next();
  bool is_next() const { return is_next_; }
  /// Begins to bring the values here, if that has not begun; if it is not urgent, perhaps not yet.
  /// Throws Error.
  void fetch(bool is_urgent);
  /// The values are where they are worked on. Throws Error where the device has failed.
  bool is_here() const;
  /// Once it is done: begins to bring them back; false where there is nothing to bring. Throws
  /// Error.
  bool deliver() { return runs_on_device() || (copy_ && copy_->deliver()); }
  /// Once that has begun, or once it runs on the device: what there is of it on streams.
  const std::shared_ptr<const StreamWork>& work() const {
    return runs_on_device() ? device_work_ : copy_->delivered();
  }
  /// Tells whoever waits for no more than that.
  void tell_put() const;
  bool is_delivered() const;
  /// What has failed on the device by then. Once delivered.
  RsStatus device_status() const;
  /// It waits for nobody but this rank's own device.
  bool waits_for_own_device() const;
  /// Nobody wants it any more: waits, for the sake of its memory, and returns whether it is
  /// delivered.
  bool settle(Deadline deadline) const;
  /// It runs there, and its ranks wait for one another there.
  bool runs_on_device() const { return device_work_ != nullptr; }
  /// It runs there, and may need other ranks yet. Throws Error where the device has failed.
  bool needs_peers() const;
  /// What was measured of it on the device. Once delivered.
  const Measures& measures() const { return device_work_->measures(); }
  Interval fetching() const { return copy_ ? copy_->fetching() : Interval(); }
  Interval delivering() const { return copy_ ? copy_->delivering() : Interval(); }

  /// Where peers find the array, for which it may be copied to the group's staging; nowhere if it
  /// is private. Before it starts.
  Registration show(const GroupView& group);
  /// Begins to run what all ranks agree on; `headers` by rank, `splits` as announced. Throws Error
  /// when memory or a peer's window cannot be had.
  void start(const GroupView& group, const std::vector<Header>& headers,
             const std::vector<uint64_t>& splits);
  bool is_started() const { return run_.has_value(); }
  /// Likewise, all of it on the device, behind its values and what is told by `start`. Throws
  /// Error.
  void start_on_device(const GroupView& group, DevicePeers& peers,
                       const std::vector<Header>& headers, const std::vector<uint64_t>& splits,
                       DeviceStart start);
  /// It does, with others, at a site that all have agreed on.
  void note_on_device(std::shared_ptr<const StreamWork> work, Site site);
  /// Only once started.
  Progress advance();
  /// Ranks without which it cannot go on. Only once started.
  const std::vector<int>& blocked_on() const { return run_->blocked_on(); }

  /// Completes a carried operation of `rank` from what all ranks of a group of `size` sent, by
  /// rank; what has joined sends nothing and is not among them.
  void finish_carried(int rank, int size, std::span<const ByteSpan> sources);

  /// Of a join. All ranks have joined, `last` at last, after as many as `calls` calls without a
  /// name.
  void finish_join(int last, uint64_t calls);
  /// Its time begins anew: the rank has been needed.
  void renew();

 private:
  bool is_cut() const;
  Problem make_problem(const GroupView& group, const std::vector<Header>& headers,
                       const std::vector<uint64_t>& splits) const;
  MutableByteSpan make_output(const Problem& problem, const std::vector<Header>& headers,
                              const std::vector<uint64_t>& splits);
  std::vector<Buffers> make_buffers(const GroupView& group, const Problem& problem,
                                    const std::vector<Header>& headers,
                                    const std::vector<uint64_t>& splits);

  Request request_;
  uint64_t key_;
  uint64_t signature_;
  std::shared_ptr<Handle> handle_;
  Times times_;
  int64_t renewed_ns_;
  std::optional<HostCopy> copy_;  // of an array on a device
  bool is_shared_ = false;
  bool is_next_ = false;
  std::optional<Site> site_;
  Registration share_at_;
  std::shared_ptr<const StreamWork> device_work_;
  MutableByteSpan staged_;  // the array as peers see it, where it is a copy
  std::optional<Run> run_;
};

/// What a rank has still to do, in its order; those of one call lie side by side.
using Operations = std::list<Operation>;

}  // namespace ringsync
