#include "base/tell.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <string_view>

#include "base/fd.h"

namespace ringsync {
namespace {

/// Of a pipe or a terminal: its own view of it, so that only its own writes never wait. A file has
/// no need of that, and a socket cannot be opened again.
Fd open_without_waiting() {
  struct stat status{};
  if (::fstat(STDERR_FILENO, &status) != 0) return {};
  if (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode)) return {};
  return Fd(::open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

}  // namespace

void tell(const std::string& text) noexcept {
  const Fd own = open_without_waiting();
  const int number = own ? own.get() : STDERR_FILENO;
  for (std::string_view rest = text; !rest.empty();) {
    pollfd entry{number, POLLOUT, 0};
    if (::poll(&entry, 1, 0) != 1) return;
    // What is ready takes as much at least.
    const ssize_t written = ::write(number, rest.data(), std::min<size_t>(rest.size(), PIPE_BUF));
    if (written <= 0) return;
    rest.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace ringsync
