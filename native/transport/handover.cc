#include "transport/handover.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/signals.h"
#include "base/socket.h"

namespace ringsync {
namespace {

/// Only a rank that is stopped lets its socket, which holds some two hundred packets, run full.
constexpr double kGiveSeconds = 60.0;

/// In which a rank that runs takes in what is on its way to it.
constexpr auto kRetry = std::chrono::milliseconds(1);

/// Empty where it cannot be mapped, or its descriptor found no room: that is told to whoever needs
/// it.
Block map_block(const SharedFd& memfd) {
  if (!memfd) return {};
  try {
    // What a peer claims of its size is never asked for.
    auto mapping = std::make_shared<Mapping>(*memfd, file_bytes(*memfd));
    return {mapping->bytes(), mapping, {}};
  } catch (const std::exception&) {
    return {};
  }
}

Error late_error(int rank, bool is_full) {
  const std::string who = "[shm] rank " + std::to_string(rank);
  if (is_full) {
    return Error(who +
                 " has taken no memory for a minute. See what it is doing: it looks stopped.");
  }
  return Error(who +
               " could be given no memory for a minute: this user has as many descriptors on their "
               "way as a process may have open. Look for a process that is stopped, or raise the "
               "limit of open files.");
}

RendezvousError missing_error(int rank, const std::string& key) {
  return RendezvousError("[rendezvous] rank " + std::to_string(rank) + " did not share '" + key +
                         "' in time. Run the same ringsync version on all ranks.");
}

}  // namespace

Handover::Handover(int size)
    : receivers_(static_cast<size_t>(size)),
      news_(make_eventfd()),
      pid_(::getpid()),
      stop_(make_eventfd()) {
  auto [one, other] = make_packet_pair();
  entrance_ = std::make_shared<const Fd>(std::move(one));
  exit_ = std::move(other);
  thread_ = std::thread([this] { serve(); });
}

Handover::~Handover() {
  if (::getpid() != pid_) {
    thread_.detach();  // a forked child has no such thread
    return;
  }
  ring(stop_);
  thread_.join();
  // A forked child may hold this end for longer, and nobody shall give anything to a rank that has
  // left.
  ::shutdown(exit_.get(), SHUT_RDWR);
}

void Handover::meet(int rank, SharedFd entrance, SharedFd life) {
  receivers_[static_cast<size_t>(rank)] = {std::move(entrance), std::move(life)};
}

void Handover::give(int rank, const std::string& key, const SharedFd& memfd) {
  const Receiver& receiver = receivers_[static_cast<size_t>(rank)];
  const Deadline deadline = deadline_after(kGiveSeconds);
  for (;;) {
    const Sent sent = try_send_packet(*receiver.entrance, key, memfd);
    if (sent == Sent::kDone || sent == Sent::kGone) return;  // nobody takes where a rank is gone
    // Nothing tells when fewer are on their way, of other ranks' too: looked at again.
    const bool is_full = sent == Sent::kNoRoom;
    const Deadline until = is_full ? deadline : std::min(deadline, Clock::now() + kRetry);
    std::array<pollfd, 2> entries{
        {{receiver.life->get(), POLLIN, 0}, {receiver.entrance->get(), POLLOUT, 0}}};
    const int ready = ::poll(entries.data(), is_full ? 2 : 1, poll_timeout_ms(until));
    if (ready > 0 && entries[0].revents != 0) return;
    if (ready == 0 && Clock::now() >= deadline) throw late_error(rank, is_full);
  }
}

Block Handover::take(int rank, const std::string& key, Deadline deadline) {
  if (auto block = find(rank, key)) return std::move(*block);
  if (Clock::now() >= deadline) throw missing_error(rank, key);
  const std::scoped_lock only_one(waiting_);
  const Receiver& giver = receivers_[static_cast<size_t>(rank)];
  for (;;) {
    if (auto block = find(rank, key)) return std::move(*block);
    std::array<pollfd, 3> entries{
        {{exit_.get(), POLLIN, 0}, {news_.get(), POLLIN, 0}, {giver.life->get(), POLLIN, 0}}};
    const int ready = ::poll(entries.data(), entries.size(), poll_timeout_ms(deadline));
    if (ready == 0 && Clock::now() >= deadline) {
      throw missing_error(rank, key);
    }
    if (ready <= 0) continue;
    uint64_t count = 0;
    // Non-blocking; that there is nothing to read is no error.
    [[maybe_unused]] const ssize_t got = ::read(news_.get(), &count, sizeof(count));
    if (entries[0].revents == 0 && entries[1].revents == 0) {
      throw RendezvousError("[rendezvous] rank " + std::to_string(rank) +
                            " ended before all ranks were connected. Read rank " +
                            std::to_string(rank) + "'s log first.");
    }
  }
}

std::optional<Block> Handover::find(int rank, const std::string& key) {
  collect();
  const std::scoped_lock lock(mutex_);
  const auto found = blocks_.find(key);
  if (found == blocks_.end()) return std::nullopt;
  if (found->second.owner) return found->second;
  throw Error("[shm] '" + key + "' of rank " + std::to_string(rank) +
              " could not be mapped. Raise the limit of open files, or vm.max_map_count.");
}

void Handover::collect() noexcept {
  const std::scoped_lock lock(mutex_);
  bool is_news = false;
  try {
    while (const std::optional<Packet> packet = receive_packet(exit_, Clock::now())) {
      is_news = true;
      blocks_[packet->bytes] = map_block(packet->fd);
    }
  } catch (const std::exception&) {
    // No memory for the packet itself: whoever needs it is told that it is missing.
  }
  if (is_news) ring(news_);
}

void Handover::serve() {
  block_signals();
  for (;;) {
    std::array<pollfd, 2> entries{{{stop_.get(), POLLIN, 0}, {exit_.get(), POLLIN, 0}}};
    if (::poll(entries.data(), entries.size(), -1) < 0) continue;  // EINTR
    if (entries[0].revents != 0) return;
    collect();
  }
}

void Handover::forget(const std::string& key) noexcept {
  const std::scoped_lock lock(mutex_);
  blocks_.erase(key);
}

}  // namespace ringsync
