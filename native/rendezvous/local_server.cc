#include "rendezvous/local_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "base/error.h"
#include "base/signals.h"
#include "base/text.h"
#include "rendezvous/ended.h"

namespace ringsync {
namespace {

/// What a stranger claims is quoted in refusals no longer than this.
constexpr size_t kQuotedBytes = 32;

/// The rank whose key it is; -1 where the key names none.
int owner_of(const std::string& key) {
  const size_t begin = key.find('/');
  if (begin == std::string::npos) return -1;
  const size_t end = key.find('/', begin + 1);
  const auto rank = parse_integer(std::string_view(key).substr(begin + 1, end - begin - 1));
  return static_cast<int>(rank.value_or(-1));
}

/// What a process says that it is.
struct Claim {
  int64_t rank;
  int64_t size;
};

std::optional<Claim> parse_claim(std::string_view text) {
  const size_t space = text.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const auto rank = parse_integer(text.substr(0, space));
  const auto size = parse_integer(text.substr(space + 1));
  if (!rank || !size) return std::nullopt;
  return Claim{*rank, *size};
}

std::string quote(std::string_view text) {
  std::string quoted = "'";
  quoted += fitting_prefix(text, kQuotedBytes);
  return quoted + "'";
}

}  // namespace

std::string not_a_counter_text(const std::string& key) {
  return "[rendezvous] '" + key +
         "' cannot be counted on: value, amount or sum is no whole number of 64 bits. Use another "
         "key to count.";
}

std::optional<int64_t> counted(std::string_view before, int64_t amount) {
  const auto number = before.empty() ? std::optional<int64_t>(0) : parse_integer(before);
  int64_t sum = 0;
  if (!number || __builtin_add_overflow(*number, amount, &sum)) return std::nullopt;
  return sum;
}

std::string lost_descriptor_text(const std::string& key) {
  return "[rendezvous] '" + key +
         "' came without its descriptor: there was no room. Raise the limit of open files.";
}

std::string missing_text(const std::vector<int>& ranks, int size, const std::string& path,
                         double timeout_s) {
  std::string list;
  for (const int rank : ranks) list += (list.empty() ? "" : ", ") + std::to_string(rank);
  return "[rendezvous] ranks {" + list + "} of " + std::to_string(size) + " missing after " +
         text_of(timeout_s) + " s at '" + path + "' (RINGSYNC_START_TIMEOUT_S)";
}

std::optional<int64_t> parse_integer(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

LocalServer::LocalServer(Fd listener, std::string path, int size, double timeout_s)
    : path_(std::move(path)),
      size_(size),
      timeout_s_(timeout_s),
      deadline_(deadline_after(timeout_s)),
      pid_(::getpid()),
      listener_(std::move(listener)),
      stop_(make_eventfd()),
      thread_([this] { serve(); }) {}

LocalServer::~LocalServer() {
  if (::getpid() != pid_) {
    thread_.detach();  // a forked child has no such thread, and its descriptors are the parent's
    return;
  }
  ring(stop_);
  thread_.join();
  if (is_meeting_) ::unlink(path_.c_str());
}

void LocalServer::serve() {
  block_signals();
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
    for (Client& client : clients_) {
      if (client.gone) forget(client);
    }
    std::erase_if(clients_, [](const Client& client) { return client.gone; });
    if (is_meeting_ && entries[1].revents != 0) accept_client();
    if (is_meeting_ && missing().empty()) finish_meeting(std::string(1, kReplyOk));
    look_for_ended_rank();
    if (is_meeting_ && Clock::now() >= deadline_) finish_meeting(late_text());
  }
}

void LocalServer::accept_client() {
  Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket && (errno == EMFILE || errno == ENFILE)) {
    // The connection stays pending, and poll() would report it for ever.
    return finish_meeting(kReplyError + ("[rendezvous] rank 0 cannot accept more ranks: " +
                                         errno_text() + ". Raise the limit of open files."));
  }
  // The directory's mode keeps others out already; the kernel's word on the uid is the proof.
  if (!socket || peer_credentials(socket).uid != ::geteuid()) return;
  clients_.push_back({std::move(socket), -1, {}, false});
}

void LocalServer::answer(Client& client) {
  std::optional<Packet> packet = receive_packet(client.socket, Clock::now());
  std::optional<StoreRequest> request;
  if (packet) request = decode_request(packet->bytes);
  if (!request || (client.rank < 0 && request->verb != StoreVerb::kJoin)) {
    client.gone = true;
    return;
  }
  if (packet->has_lost_fd && request->verb == StoreVerb::kSet) {
    client.gone = !send_packet(client.socket, kReplyError + lost_descriptor_text(request->key));
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
        const int owner = owner_of(request.key);
        if (gone_.contains(owner)) {
          client.gone = !send_packet(client.socket, gone_text(owner));
        } else {
          client.waiting_for = request.key;
        }
        return;
      }
      client.gone = !send_packet(client.socket, kReplyOk + found->second.bytes, found->second.fd);
      return;
    }
    case StoreVerb::kAdd: {
      const auto known = values_.find(request.key);
      const auto amount = parse_integer(request.value);
      std::optional<int64_t> sum;
      if (amount) sum = counted(known == values_.end() ? "" : known->second.bytes, *amount);
      std::string reply = kReplyError + not_a_counter_text(request.key);
      if (sum) {
        put(request.key, {std::to_string(*sum), {}, {}});
        reply = kReplyOk + std::to_string(*sum);
      }
      client.gone = !send_packet(client.socket, reply);
      return;
    }
    case StoreVerb::kRemove:
      client.gone = !send_packet(
          client.socket, std::string(1, kReplyOk) + (values_.erase(request.key) ? "1" : "0"));
      return;
  }
  client.gone = !send_packet(client.socket, std::string(1, kReplyOk));
}

void LocalServer::join(Client& client, const std::string& text) {
  if (!failure_.empty()) {  // it came in time, and asks too late
    send_packet(client.socket, failure_);
    client.gone = true;
    return;
  }
  const std::optional<Claim> claim = parse_claim(text);
  const std::string who =
      claim ? "rank " + std::to_string(claim->rank) + " of " + std::to_string(claim->size)
            : quote(text);
  std::string refusal;
  if (!claim || claim->rank < 0 || claim->rank >= size_ || claim->size != size_) {
    refusal = "[rendezvous] a process joined as " + who + ", rank 0 expects " +
              std::to_string(size_) + " ranks at '" + path_ +
              "'. Start all ranks with the same world size.";
  } else if (client.rank >= 0 || !is_meeting_ || is_here(static_cast<int>(claim->rank))) {
    refusal = "[rendezvous] two processes joined as " + who + " at '" + path_ +
              "'. Give each process its own RINGSYNC_RANK or RANK, and each job its own "
              "RINGSYNC_JOB_ID or MASTER_PORT.";
  }
  if (refusal.empty()) {
    client.rank = static_cast<int>(claim->rank);
    return;
  }
  refused_ = who;
  send_packet(client.socket, kReplyError + refusal);
  client.gone = true;
}

/// A rank that leaves while ranks still meet may come again; later those who wait for it are told.
void LocalServer::forget(Client& client) {
  if (is_meeting_ && client.rank < 0) is_look_due_ = true;
  if (is_meeting_ || client.rank < 0) return;
  gone_.insert(client.rank);
  for (Client& other : clients_) {
    if (other.gone || other.waiting_for.empty() || owner_of(other.waiting_for) != client.rank) {
      continue;
    }
    other.waiting_for.clear();
    send_packet(other.socket, gone_text(client.rank));
  }
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
  if (reply[0] != kReplyOk) failure_ = reply;
  ::unlink(path_.c_str());
  listener_.reset();
  for (Client& client : clients_) {
    if (client.rank >= 0) client.gone = !send_packet(client.socket, reply) || reply[0] != kReplyOk;
  }
}

void LocalServer::look_for_ended_rank() {
  // Rank 0 itself is to hear of it, too.
  if (!is_meeting_ || !is_look_due_ || !is_here(0)) return;
  is_look_due_ = false;
  if (const auto text = ended_rank_text(path_, size_)) finish_meeting(kReplyError + *text);
}

bool LocalServer::is_here(int rank) const {
  return std::ranges::any_of(clients_, [&](const Client& c) { return c.rank == rank; });
}

std::vector<int> LocalServer::missing() const {
  std::vector<int> ranks;
  for (int rank = 0; rank < size_; ++rank) {
    if (!is_here(rank)) ranks.push_back(rank);
  }
  return ranks;
}

std::string LocalServer::late_text() const {
  // Those who were sent away heard why, but in a log of their own.
  const std::string instead =
      refused_.empty() ? "" : "; a process that came as " + refused_ + " was sent away";
  return kReplyError + missing_text(missing(), size_, path_, timeout_s_) + instead +
         ". Check that they were started, each once and with the same world size, and use this "
         "store.";
}

std::string LocalServer::gone_text(int rank) const {
  return kReplyError +
         ("[rendezvous] rank " + std::to_string(rank) + " of " + std::to_string(size_) +
          " ended before all ranks were connected. Read rank " + std::to_string(rank) +
          "'s log first.");
}

}  // namespace ringsync
