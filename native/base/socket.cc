#include "base/socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace ringsync {
namespace {

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    throw RendezvousError("[rendezvous] socket path '" + path + "' is longer than " +
                          std::to_string(sizeof(address.sun_path) - 1) +
                          " bytes. Set RINGSYNC_RENDEZVOUS to a shorter path, or where it is "
                          "not set, TMPDIR.");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Fd make_socket() {
  Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) throw RendezvousError("[rendezvous] socket failed: " + errno_text() + ".");
  return fd;
}

/// Like sendmsg(), again after signals.
ssize_t send_message(const Fd& socket, const std::string& bytes, const SharedFd& fd, int flags) {
  if (bytes.size() > kMaxPacketBytes) {
    throw Error("[rendezvous] a packet of " + std::to_string(bytes.size()) + " bytes exceeds " +
                std::to_string(kMaxPacketBytes) + ".");
  }
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (fd) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int number = fd->get();
    std::memcpy(CMSG_DATA(header), &number, sizeof(int));
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket.get(), &message, flags | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

}  // namespace

Fd listen_at(const std::string& path) {
  Fd fd = make_socket();
  const sockaddr_un address = address_of(path);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(fd.get(), SOMAXCONN) != 0) {
    if (errno == ENOENT) return {};
    throw RendezvousError("[rendezvous] cannot listen at '" + path + "': " + errno_text() + ".");
  }
  return fd;
}

Fd connect_to(const std::string& path) {
  Fd fd = make_socket();
  const sockaddr_un address = address_of(path);
  while (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    if (errno == EINTR) continue;
    if (errno == ENOENT || errno == ECONNREFUSED) return {};
    throw RendezvousError("[rendezvous] cannot connect to '" + path + "': " + errno_text() + ".");
  }
  return fd;
}

std::pair<Fd, Fd> make_packet_pair() {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    throw Error("[rendezvous] socketpair failed: " + errno_text() +
                ". Raise the limit of open files.");
  }
  return {Fd(ends[0]), Fd(ends[1])};
}

PeerCredentials peer_credentials(const Fd& socket) {
  ucred credentials{};
  socklen_t length = sizeof(credentials);
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    throw RendezvousError("[rendezvous] SO_PEERCRED failed: " + errno_text() + ".");
  }
  return {credentials.pid, credentials.uid};
}

bool send_packet(const Fd& socket, const std::string& bytes, const SharedFd& fd) {
  return send_message(socket, bytes, fd, 0) >= 0;
}

Sent try_send_packet(const Fd& socket, const std::string& bytes, const SharedFd& fd) {
  if (send_message(socket, bytes, fd, MSG_DONTWAIT) >= 0) return Sent::kDone;
  if (errno == EAGAIN) return Sent::kNoRoom;
  if (errno == ETOOMANYREFS) return Sent::kTooMany;
  if (errno == EPIPE || errno == ECONNRESET) return Sent::kGone;
  throw Error("[rendezvous] sendmsg failed: " + errno_text() + ". Raise the limit of open files.");
}

std::optional<Packet> receive_packet(const Fd& socket, Deadline deadline,
                                     const OnSignal& on_signal) {
  if (!wait_readable(socket, deadline, on_signal)) return std::nullopt;
  Packet packet;
  packet.bytes.resize(kMaxPacketBytes);
  iovec part{packet.bytes.data(), packet.bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t got = 0;
  while ((got = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC)) < 0) {
    if (errno != EINTR) return std::nullopt;
  }
  if (const cmsghdr* header = CMSG_FIRSTHDR(&message);
      header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
    // Padding leaves room for more than the one that is wanted; each is ours to close.
    for (size_t at = 0; at + sizeof(int) <= header->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(header) + at, sizeof(int));
      auto fd = std::make_shared<const Fd>(number);
      if (!packet.fd) packet.fd = std::move(fd);
    }
  }
  if (got == 0 || (message.msg_flags & MSG_TRUNC) != 0) return std::nullopt;
  packet.has_lost_fd = (message.msg_flags & MSG_CTRUNC) != 0;
  if (packet.has_lost_fd) packet.fd.reset();
  packet.bytes.resize(static_cast<size_t>(got));
  return packet;
}

bool wait_readable(const Fd& fd, Deadline deadline, const OnSignal& on_signal) {
  pollfd entry{fd.get(), POLLIN, 0};
  for (;;) {
    const Deadline until = on_signal ? std::min(deadline, next_signal_check()) : deadline;
    const int ready = ::poll(&entry, 1, poll_timeout_ms(until));
    if (ready > 0) return true;
    if (ready == 0 && Clock::now() >= deadline) return false;
    if (ready < 0 && errno != EINTR) return false;
    if (on_signal) on_signal();
  }
}

int poll_timeout_ms(Deadline deadline) {
  if (deadline == kNever) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<decltype(left)>(left, 0, INT_MAX));
}

}  // namespace ringsync
