// Where ranks work on arrays that lie on devices: by the host, or there. All work on one at one
// site; which one they can name is told with the announcement.

#include <algorithm>

#include "base/error.h"
#include "engine/device_peers.h"
#include "engine/group.h"

namespace ringsync {
namespace {

/// Of all arrays of a call. A guess: below it a few copies should cost no more than as many
/// launches.
constexpr size_t kFewestOnDevice = 64 * 1024;

/// So often, one time after another, this rank would have stayed on the device where another could
/// not: that one never will, and each time costs a round.
constexpr int kMostOverruled = 3;

/// Operations whose values are fetched before it is their turn: more than a device fetches at a
/// time.
constexpr size_t kBroughtAhead = 16;

}  // namespace

/// Of the devices that `peers` share, if they do.
bool Operation::can_stay(const GroupView& group, const DevicePeers* peers) const {
  if (!lies_on_device() || request_.group_bytes < kFewestOnDevice ||
      !suits_devices(request_, group.size)) {
    return false;
  }
  return peers == nullptr || is_cut() || request_.data.size() <= peers->piece_bytes();
}

Site Operation::announced_site() const {
  if (!is_on_host()) return *site_;
  return is_here() ? Site::kHost : Site::kComing;
}

void Operation::set_next() {
  is_next_ = true;
  // What works on the array too may have been put before it.
  if (copy_ && is_shared_) copy_->drop();
}

void Operation::tell_put() const {
  if (!copy_) return;  // it is done as soon as it is delivered, and nobody waits for less
  handle_->note_put({request_.place->device, work()});
}

bool Operation::is_delivered() const {
  return runs_on_device() ? device_work_->is_done() : !copy_ || copy_->is_delivered();
}

RsStatus Operation::device_status() const {
  if (runs_on_device()) return device_work_->status();
  return copy_ ? copy_->delivery_status() : kRsOk;
}

bool Operation::waits_for_own_device() const {
  if (runs_on_device()) {
    return !request_.place->device->is_reached(request_.place->ready) || !needs_peers();
  }
  return copy_ && (copy_->delivering().begin_ns != 0 || (is_next_ && is_on_host() && !is_here()));
}

bool Operation::needs_peers() const {
  if (!runs_on_device() || device_work_->is_done()) return false;
  return !device_work_->is_put() || !request_.place->device->is_reached(device_work_->passed());
}

void Operation::note_on_device(std::shared_ptr<const StreamWork> work, Site site) {
  device_work_ = std::move(work);
  site_ = site;
}

bool Operation::is_cut() const {
  return request_.collective == Collective::kAllreduce ||
         request_.collective == Collective::kBroadcast;
}

void Operation::start_on_device(const GroupView& group, DevicePeers& peers,
                                const std::vector<Header>& headers,
                                const std::vector<uint64_t>& splits, DeviceStart start) {
  start.after.push_back(request_.place->ready);
  DevicePiece piece{copy_->read(), copy_->written(), false, request_.dtype,
                    reduction_of(request_, group.size)};
  Problem problem = make_problem(group, headers, splits);
  problem.is_in_place = true;
  if (!is_cut()) {
    piece.output = make_output(problem, headers, splits);
    piece.is_output_apart = true;
  }
  if (is_by_nccl()) {
    if (is_cut()) piece.output = request_.data;
    device_work_ = peers.nccl().run(problem, piece, std::move(start));
    return;
  }
  peers.begin(std::move(start));
  if (!is_cut()) {
    peers.run(group.route_of(problem), piece);
  } else {
    const ByteSpan input = piece.input;
    const MutableByteSpan output = piece.output;
    const size_t width = size_bytes(request_.dtype);
    const size_t most = peers.piece_bytes() / width;
    const size_t total = request_.data.size() / width;
    for (size_t first = 0; first < total; first += most) {
      const size_t count = std::min(most, total - first);
      problem.counts.assign(problem.counts.size(), count);
      if (!input.empty()) piece.input = input.subspan(first * width, count * width);
      if (!output.empty()) piece.output = output.subspan(first * width, count * width);
      peers.run(group.route_of(problem), piece);
    }
  }
  device_work_ = peers.end();
}

/// What would be best for it, before it is announced. By the host all can be done. False while this
/// rank's device has not said whether it can be there.
bool Group::choose_site(Operation& operation) {
  if (operation.site()) return true;
  if (best_site_ != Site::kHost && operation.can_stay(view_, nullptr)) {
    try {
      if (!device_peers_) {
        device_peers_ = std::make_unique<DevicePeers>(operation.request().place->device, view_,
                                                      home_.transport, take_nccl_choice());
      }
      if (!device_peers_->is_set_up()) return false;
    } catch (const Error& error) {
      device_peers_.reset();
      stay_on_host(error.what());
    }
  }
  const bool can_stay = device_peers_ && operation.can_stay(view_, device_peers_.get());
  operation.set_site(can_stay ? best_way() : Site::kHost,
                     can_stay ? device_peers_->share_at() : Registration());
  return true;
}

/// The world's calls take as many blocks of a device as NCCL likes, those of an adopted
/// communicator as many as its owner has said.
NcclChoice Group::take_nccl_choice() {
  NcclChoice choice = home_.nccl;
  choice.adopted = nccl_adoption_.close();
  choice.door = nccl_adoption_.door();
  choice.who = place();
  if (members_.is_ordered && choice.adopted == nullptr) choice.max_ctas = kMostBlocks;
  return choice;
}

/// There, as far as this rank knows.
Site Group::best_way() {
  if (best_site_ != Site::kDevice) return best_site_;
  const bool has_nccl = device_peers_->has_nccl();
  if (const auto why = device_peers_->take_nccl_failure()) {
    home_.tell("[ringsync] " + place() + " sums arrays on devices without NCCL: " + *why + "\n");
  }
  return has_nccl ? Site::kNccl : Site::kDevice;
}

/// False where ranks have to announce the first operation once more: they did not all name the site
/// at which they now know that all can work, or some had not brought its values there.
bool Group::agree_on_site() {
  const std::vector<Header>& headers = announcement_.headers();
  const bool has_any_joined = announcement_.joined().is_any();
  Operation& front = operations_.front();
  if (is_settled(headers) && (front.is_on_host() || !has_any_joined)) {
    if (front.is_on_host()) return true;
    overruled_ = 0;
    // Some may not know yet that all have joined.
    const Site site = std::ranges::min(headers, {}, &Header::site).site;
    front.set_site(site, device_peers_->share_at());
    return true;
  }
  front.set_next();
  const auto is_by_host = [](const Header& header) { return header.site <= Site::kComing; };
  if (has_any_joined || std::ranges::any_of(headers, is_by_host)) {
    const bool is_overruled = !front.is_on_host() && !has_any_joined;
    if (is_overruled && ++overruled_ >= kMostOverruled) {
      stay_on_host("other ranks work on theirs there");
    }
    front.set_site(Site::kHost, {});
    return false;
  }
  // Of one that was announced before the last it may be known by now.
  if (best_site_ == Site::kOffered) {
    if (device_peers_->open(headers)) {
      best_site_ = Site::kDevice;
      view_.bucket_bytes = device_peers_->piece_bytes();
    } else {
      stay_on_host("memory of another rank's device cannot be opened");
    }
  }
  front.forget_site();
  return false;
}

/// False as long as it cannot be announced.
bool Group::bring(Operation& front) {
  if (!choose_site(front) || is_held_up(front)) return false;
  if (!front.is_on_host()) return true;
  if (!front.shares_array() || front.is_next()) front.fetch(true);
  bring_more();
  return front.is_here() || !front.is_next();
}

/// Those that are probably next, while the first one is worked on.
void Group::bring_more() {
  size_t looked_at = 0;
  for (Operation& operation : operations_) {
    if (++looked_at > kBroughtAhead) return;
    const bool may_stay =
        best_site_ != Site::kHost && operation.can_stay(view_, device_peers_.get());
    if (!may_stay && !operation.shares_array()) operation.fetch(false);
  }
}

/// For good. It is slower, so somebody should know.
void Group::stay_on_host(const std::string& why) {
  best_site_ = Site::kHost;
  home_.tell("[ringsync] " + place() + " sums arrays on devices by way of the host: " + why + "\n");
}

/// What was carried lies on devices: all of it is packed, summed as one and unpacked there.
void Group::start_bucket(size_t count) {
  DeviceBucket bucket;
  DeviceStart start = start_of(operations_.front());  // of the others none shares its array
  const Request& first = operations_.front().request();
  const size_t width = size_bytes(first.dtype);
  for (size_t i = 0; i < count; ++i) {
    const Request& request = announcement_.carried(i)->request();
    const size_t length = request.data.size() / width;
    bucket.segments.push_back({request.data.data(), static_cast<uint32_t>(bucket.elements),
                               static_cast<uint32_t>(length)});
    bucket.elements += round_up(request.data.size(), kBucketAlignment) / width;
    start.after.push_back(request.place->ready);
  }
  bucket.dtype = first.dtype;
  bucket.reduction = reduction_of(first, view_.size);
  const Site site = *operations_.front().site();
  std::shared_ptr<const StreamWork> work;
  if (operations_.front().is_by_nccl()) {
    work = device_peers_->nccl().run(std::move(bucket), std::move(start));
  } else {
    work = run_bucket(bucket, std::move(start));
  }
  for (size_t i = 0; i < count; ++i) announcement_.carried(i)->note_on_device(work, site);
}

/// In memory that the ranks share.
std::shared_ptr<const StreamWork> Group::run_bucket(const DeviceBucket& bucket, DeviceStart start) {
  const Problem problem{Collective::kAllreduce,
                        members_.rank,
                        view_.size,
                        std::vector<size_t>(members_.ranks.size(), bucket.elements),
                        0,
                        true,
                        {},
                        is_narrow(bucket.dtype)};
  device_peers_->begin(std::move(start));
  device_peers_->run(routes_.of(problem), bucket);
  return device_peers_->end();
}

}  // namespace ringsync
