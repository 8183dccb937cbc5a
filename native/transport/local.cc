#include "transport/local.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <random>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "transport/local_offer.h"
#include "transport/reach.h"

namespace ringsync {
namespace {

std::string rank_key(int rank, const char* what) {
  return "rank/" + std::to_string(rank) + "/" + what;
}

uint64_t draw_token() {
  std::random_device random;
  return uint64_t{random()} << 32 | random();
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "?";
  return name.data();
}

}  // namespace

LocalTransport::LocalTransport(std::unique_ptr<BlockSource> source, int rank, int size)
    : source_(std::move(source)),
      rank_(rank),
      pid_(::getpid()),
      token_(std::make_unique<uint64_t>(draw_token())),
      pool_(std::make_shared<Pool>(*source_, rank, size)),
      bell_(std::make_shared<const Fd>(make_eventfd())),
      peers_(static_cast<size_t>(size)),
      stacks_(rank, peers_) {}

// Delegates, so that it leaves also where a peer is missing: others have met it and may be trying
// to reach it.
LocalTransport::LocalTransport(std::unique_ptr<BlockSource> source, Store& store, int rank,
                               int size, Deadline deadline)
    : LocalTransport(std::move(source), rank, size) {
  const Block state = introduce(store);
  std::vector<SharedFd> lives(peers_.size());
  // To all before anything is awaited, so that nobody waits for more than the one who is late.
  for (int other = 0; other < size; ++other) {
    if (other == rank_) continue;
    lives[static_cast<size_t>(other)] = store.get(rank_key(other, "life"), deadline).fd;
    source_->meet(other, lives[static_cast<size_t>(other)], deadline);
    source_->share(other, rank_key(rank_, "state"), state);
  }
  for (int other = 0; other < size; ++other) {
    if (other == rank_) continue;
    auto& peer = peers_[static_cast<size_t>(other)];
    peer = meet(store, other, lives[static_cast<size_t>(other)], deadline);
    waiter_->watch(peer);
    can_reach_ =
        can_reach_ && ringsync::can_reach(*source_, *peers_[static_cast<size_t>(rank_)], *peer);
  }
}

LocalTransport::~LocalTransport() {
  if (::getpid() != pid_) return;
  leave({}, nullptr);
  // A peer that was stopped while it tried, or that this rank has not met, may yet write there.
  const bool has_met_all =
      std::ranges::all_of(peers_, [](const auto& peer) { return peer != nullptr; });
  if (is_exposed_ || !has_met_all) static_cast<void>(token_.release());
}

Block LocalTransport::introduce(Store& store) {
  Block state = source_->create(sizeof(RankState));
  auto& shown = *reinterpret_cast<RankState*>(state.bytes.data());
  shown.token = *token_;
  shown.token_address = reinterpret_cast<uint64_t>(token_.get());
  auto& self = peers_[static_cast<size_t>(rank_)];
  const SharedFd stacks = source_->stacks();
  self = std::make_shared<Peer>(rank_, host_name(), pid_, state, bell_, SharedFd{}, stacks);
  waiter_ = std::make_unique<Waiter>(self, bell_);
  store.set(rank_key(rank_, "bell"), {"eventfd", bell_, {}});
  store.set(rank_key(rank_, "life"), {"pidfd", source_->life(), {}});
  store.set(rank_key(rank_, "pid"), {std::to_string(pid_), {}, {}});
  store.set(rank_key(rank_, "host"), {self->host(), stacks, {}});
  return state;
}

std::shared_ptr<Peer> LocalTransport::meet(Store& store, int rank, SharedFd life,
                                           Deadline deadline) {
  const std::string pid = store.get(rank_key(rank, "pid"), deadline).bytes;
  StoreValue host = store.get(rank_key(rank, "host"), deadline);
  SharedFd bell = store.get(rank_key(rank, "bell"), deadline).fd;
  if (!bell) {
    throw RendezvousError("[rendezvous] rank " + std::to_string(rank) +
                          " shared no bell. Use one kind of store on all ranks.");
  }
  Block state = source_->fetch(rank, rank_key(rank, "state"), sizeof(RankState), deadline);
  pid_t process = 0;
  std::from_chars(pid.data(), pid.data() + pid.size(), process);
  return std::make_shared<Peer>(rank, host.bytes, process, std::move(state), std::move(bell),
                                std::move(life), std::move(host.fd));
}

std::unique_ptr<Offer> LocalTransport::offer(const std::string& group,
                                             const std::vector<int>& ranks, Room room) {
  return std::make_unique<LocalOffer>(LocalOffer::Host{*source_, peers_}, rank_, group, ranks,
                                      room);
}

void LocalTransport::leave(const std::string& cause, const LostPeer* lost) noexcept {
  pool_->retire();  // before any operation fails, and so before its arrays are given back
  const auto& self = peers_[static_cast<size_t>(rank_)];
  if (is_leaving_.exchange(true) || !self) return;
  RankState& state = self->state();
  state.lost_rank = lost == nullptr ? -1 : lost->rank;
  state.lost_pid = lost == nullptr ? -1 : lost->pid;
  const std::string_view text = fitting_prefix(cause, sizeof(state.cause) - 1);
  std::memcpy(state.cause, text.data(), text.size());
  state.cause[text.size()] = '\0';
  state.presence.store(cause.empty() ? kWithdrawn : kLeft);
  for (const auto& peer : peers_) {
    if (peer) peer->ring();
  }
  if (!await_writers(*self, peers_)) is_exposed_ = true;
}

}  // namespace ringsync
