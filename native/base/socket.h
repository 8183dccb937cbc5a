#pragma once

// AF_UNIX packets between processes of one user, with at most one descriptor beside the bytes.
// A packet arrives whole or not at all, so no length is ever read from the wire.

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/fd.h"

namespace ringsync {

/// The kernel's word on who is at the other end.
struct PeerCredentials {
  pid_t pid = -1;
  uid_t uid = 0;
};

struct Packet {
  std::string bytes;
  SharedFd fd;
  /// A descriptor came with it, for which this process had no room.
  bool has_lost_fd = false;
};

/// Upper bound of a packet; below the kernel's default send buffer (208 KiB).
inline constexpr size_t kMaxPacketBytes = 128 * 1024;

/// A listening SOCK_SEQPACKET socket at `path`; empty when its directory is not there. Throws
/// Error.
Fd listen_at(const std::string& path);

/// Connects to `path`; empty when nobody listens there. Throws Error for anything else.
Fd connect_to(const std::string& path);

/// Two connected SOCK_SEQPACKET sockets. Throws Error.
std::pair<Fd, Fd> make_packet_pair();

PeerCredentials peer_credentials(const Fd& socket);

/// False when the peer is gone. Throws Error when the packet is too large.
bool send_packet(const Fd& socket, const std::string& bytes, const SharedFd& fd = {});

/// kTooMany: of this user as many descriptors are on their way as a process may have open.
enum class Sent { kDone, kNoRoom, kTooMany, kGone };

/// Sends if that takes no waiting. Throws Error.
Sent try_send_packet(const Fd& socket, const std::string& bytes, const SharedFd& fd);

/// Called when a signal interrupts a wait; throws to give up, returns to go on waiting.
using OnSignal = std::function<void()>;

/// Empty when the peer is gone, when `deadline` passes or when the packet is oversized.
std::optional<Packet> receive_packet(const Fd& socket, Deadline deadline,
                                     const OnSignal& on_signal = {});

/// Waits until `fd` is readable; false at the deadline.
bool wait_readable(const Fd& fd, Deadline deadline, const OnSignal& on_signal = {});

/// Milliseconds for poll(), rounded up; -1 for never.
int poll_timeout_ms(Deadline deadline);

}  // namespace ringsync
