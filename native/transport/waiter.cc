#include "transport/waiter.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/socket.h"

namespace ringsync {
namespace {

constexpr uint64_t kBell = UINT64_MAX;

void add_to(const Fd& epoll, int fd, uint32_t events, uint64_t tag) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = tag;
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    throw Error("[engine] epoll_ctl failed: " + errno_text() + ".");
  }
}

}  // namespace

Peer::Peer(int rank, std::string host, int pid, Block state, SharedFd bell, SharedFd life,
           SharedFd stacks)
    : rank_(rank),
      host_(std::move(host)),
      pid_(pid),
      block_(std::move(state)),
      bell_(std::move(bell)),
      life_(std::move(life)),
      stacks_(std::move(stacks)) {
  block_.fd.reset();
}

void Peer::ring() const noexcept {
  // Pairs with the fence in Waiter::prepare: either this load sees the sleeper, or the sleeper's
  // last look sees what was written before this call.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (state().is_asleep.load(std::memory_order_relaxed) == 0) return;
  ringsync::ring(*bell_);
}

Waiter::Waiter(std::shared_ptr<Peer> self, SharedFd bell)
    : self_(std::move(self)), bell_(std::move(bell)), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) throw Error("[engine] epoll_create1 failed: " + errno_text() + ".");
  // Edge-triggered: each ring is one event, and the counter need never be read back.
  add_to(epoll_, bell_->get(), EPOLLIN | EPOLLET, kBell);
}

void Waiter::watch(std::shared_ptr<Peer> peer) {
  if (peer->life() == nullptr) return;
  add_to(epoll_, peer->life()->get(), EPOLLIN, watched_.size());
  watched_.push_back(std::move(peer));
}

void Waiter::prepare() noexcept {
  self_->state().is_asleep.store(1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void Waiter::cancel() noexcept { self_->state().is_asleep.store(0, std::memory_order_relaxed); }

bool Waiter::sleep(Deadline deadline) noexcept {
  std::array<epoll_event, 8> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                 poll_timeout_ms(deadline));
  const bool is_interrupted = count < 0 && errno == EINTR;
  cancel();
  for (int i = 0; i < count; ++i) {
    const uint64_t tag = events[static_cast<size_t>(i)].data.u64;
    if (tag == kBell) continue;
    Peer& peer = *watched_[tag];
    peer.mark_dead();
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, peer.life()->get(), nullptr);
  }
  return !is_interrupted;
}

}  // namespace ringsync
