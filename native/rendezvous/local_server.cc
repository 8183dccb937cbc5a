#include "rendezvous/local_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <utility>

#include "base/error.h"

namespace ringsync {
namespace {

/// Ready to accept before the name appears, so that whoever sees the name can connect.
Fd listen_under_final_name(const std::string& path) {
  if (connect_to(path)) {
    throw RendezvousError("[rendezvous] another job already meets at '" + path +
                          "'. Give each job its own MASTER_PORT, or wait for the other to end.");
  }
  const std::string draft = path + "." + std::to_string(::getpid());
  ::unlink(draft.c_str());
  Fd listener = listen_at(draft);
  if (::rename(draft.c_str(), path.c_str()) != 0) {
    const std::string reason = errno_text();
    ::unlink(draft.c_str());
    throw RendezvousError("[rendezvous] cannot create '" + path + "': " + reason + ".");
  }
  return listener;
}

}  // namespace

std::optional<int64_t> parse_integer(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

LocalServer::LocalServer(std::string path, int size, Deadline deadline)
    : path_(std::move(path)),
      size_(size),
      deadline_(deadline),
      pid_(::getpid()),
      listener_(listen_under_final_name(path_)),
      stop_(make_eventfd()),
      thread_([this] { serve(); }) {}

LocalServer::~LocalServer() {
  if (::getpid() != pid_) {
    thread_.detach();  // a forked child has no such thread, and its descriptors are the parent's
    return;
  }
  const uint64_t one = 1;
  // An eventfd write of 1 cannot fail before 2^64 of them.
  [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof(one));
  thread_.join();
  if (is_meeting_) ::unlink(path_.c_str());
}

void LocalServer::serve() {
  for (;;) {
    std::vector<pollfd> entries{{stop_.get(), POLLIN, 0},
                                {is_meeting_ ? listener_.get() : -1, POLLIN, 0}};
    for (const Client& client : clients_) entries.push_back({client.socket.get(), POLLIN, 0});
    const int timeout = is_meeting_ ? poll_timeout_ms(deadline_) : -1;
    if (::poll(entries.data(), entries.size(), timeout) < 0) continue;  // EINTR
    if (entries[0].revents != 0) return;
    for (size_t i = 2; i < entries.size(); ++i) {
      if (entries[i].revents != 0) answer(clients_[i - 2]);
    }
    std::erase_if(clients_, [](const Client& client) { return client.gone; });
    if (is_meeting_ && entries[1].revents != 0) accept_client();
    if (is_meeting_ && joined_ < size_ && Clock::now() >= deadline_) finish_meeting(missing_text());
  }
}

void LocalServer::accept_client() {
  Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  // The directory's mode keeps others out already; the kernel's word on the uid is the proof.
  if (!socket || peer_credentials(socket).uid != ::geteuid()) return;
  clients_.push_back({std::move(socket), -1, {}, false});
}

void LocalServer::answer(Client& client) {
  std::optional<Packet> packet = receive_packet(client.socket, Clock::now());
  std::optional<StoreRequest> request;
  if (packet) request = decode_request(packet->bytes);
  if (!request || (client.rank < 0 && request->verb != StoreVerb::kJoin)) {
    if (is_meeting_ && client.rank >= 0) --joined_;
    client.gone = true;
    return;
  }
  handle(client, std::move(*request), packet->fd);
}

void LocalServer::handle(Client& client, StoreRequest request, SharedFd fd) {
  switch (request.verb) {
    case StoreVerb::kJoin:
      return join(client, request.value);
    case StoreVerb::kSet:
      put(request.key, {std::move(request.value), std::move(fd), {}});
      break;
    case StoreVerb::kGet: {
      const auto found = values_.find(request.key);
      if (found == values_.end()) {
        client.waiting_for = request.key;
        return;
      }
      client.gone = !send_packet(client.socket, kReplyOk + found->second.bytes, found->second.fd);
      return;
    }
    case StoreVerb::kAdd: {
      const int64_t sum = parse_integer(values_[request.key].bytes).value_or(0) +
                          parse_integer(request.value).value_or(0);
      put(request.key, {std::to_string(sum), {}, {}});
      client.gone = !send_packet(client.socket, kReplyOk + std::to_string(sum));
      return;
    }
    case StoreVerb::kRemove:
      client.gone = !send_packet(
          client.socket, std::string(1, kReplyOk) + (values_.erase(request.key) ? "1" : "0"));
      return;
  }
  client.gone = !send_packet(client.socket, std::string(1, kReplyOk));
}

void LocalServer::join(Client& client, const std::string& claim) {
  const size_t space = claim.find(' ');
  const auto rank = parse_integer(std::string_view(claim).substr(0, space));
  const auto size = space == std::string::npos
                        ? std::nullopt
                        : parse_integer(std::string_view(claim).substr(space + 1));
  std::string refusal;
  if (!rank || !size || *rank < 0 || *rank >= size_ || *size != size_) {
    refusal = "[rendezvous] a process joined as rank " + claim.substr(0, space) + " of " +
              (size ? std::to_string(*size) : "?") + ", rank 0 expects " + std::to_string(size_) +
              " ranks at '" + path_ + "'. Start all ranks with the same world size.";
  } else if (std::ranges::any_of(clients_, [&](const Client& c) { return c.rank == *rank; })) {
    refusal = "[rendezvous] two processes joined as rank " + std::to_string(*rank) + " of " +
              std::to_string(size_) + " at '" + path_ +
              "'. Give each process its own RANK and each job its own MASTER_PORT.";
  }
  if (!refusal.empty()) {
    send_packet(client.socket, kReplyError + refusal);
    client.gone = true;
    return;
  }
  client.rank = static_cast<int>(*rank);
  if (++joined_ == size_) finish_meeting(std::string(1, kReplyOk));
}

void LocalServer::put(const std::string& key, StoreValue value) {
  for (Client& client : clients_) {
    if (client.waiting_for != key) continue;
    client.waiting_for.clear();
    client.gone = !send_packet(client.socket, kReplyOk + value.bytes, value.fd);
  }
  values_[key] = std::move(value);
}

void LocalServer::finish_meeting(const std::string& reply) {
  is_meeting_ = false;
  ::unlink(path_.c_str());
  listener_.reset();
  for (Client& client : clients_) {
    if (client.rank >= 0) client.gone = !send_packet(client.socket, reply) || reply[0] != kReplyOk;
  }
}

std::string LocalServer::missing_text() const {
  std::string missing;
  for (int rank = 0; rank < size_; ++rank) {
    if (std::ranges::none_of(clients_, [&](const Client& c) { return c.rank == rank; })) {
      missing += (missing.empty() ? "" : ", ") + std::to_string(rank);
    }
  }
  return kReplyError + ("[rendezvous] ranks {" + missing + "} of " + std::to_string(size_) +
                        " did not come to '" + path_ +
                        "' in time. Check that they were started and use this store.");
}

}  // namespace ringsync
