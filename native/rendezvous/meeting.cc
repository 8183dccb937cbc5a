#include "rendezvous/meeting.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/error.h"

namespace ringsync {
namespace {

/// Beyond rank 0's own deadline, so that its answer, which names the missing ranks, comes first.
constexpr double kAnswerSeconds = 5.0;

void make_private_directory(const std::string& directory) {
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    throw RendezvousError("[rendezvous] cannot create '" + directory + "': " + errno_text() + ".");
  }
  struct stat status{};
  // lstat: a symbolic link put there by somebody else must not lead us elsewhere.
  if (::lstat(directory.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) ||
      status.st_uid != ::geteuid() || (status.st_mode & 077) != 0) {
    throw RendezvousError("[rendezvous] '" + directory +
                          "' is not a directory that belongs to this user alone (mode 0700). "
                          "Remove it, or set TMPDIR to a directory of your own.");
  }
}

std::string missing_server_text(const std::string& path, int size, double timeout_s) {
  char seconds[32];
  std::snprintf(seconds, sizeof(seconds), "%.1f", timeout_s);
  return "[rendezvous] rank 0 of " + std::to_string(size) + " missing after " + seconds +
         " s at 'unix:" + path +
         "'. Check that rank 0 was started, with the same MASTER_ADDR and MASTER_PORT.";
}

/// Connects to rank 0's socket, sleeping on changes of the directory until it is there.
Fd connect_when_served(const std::string& directory, const std::string& path, int size,
                       double timeout_s, const OnSignal& on_signal) {
  const Deadline deadline = deadline_after(timeout_s);
  for (;;) {
    make_private_directory(directory);
    const Fd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!watch) throw RendezvousError("[rendezvous] inotify failed: " + errno_text() + ".");
    constexpr uint32_t kMask = IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF;
    // The watch stands before the first look, so that nothing appears unseen in between.
    if (::inotify_add_watch(watch.get(), directory.c_str(), kMask) < 0) {
      if (errno == ENOENT) continue;  // an earlier job of this name has just removed it
      throw RendezvousError("[rendezvous] cannot watch '" + directory + "': " + errno_text() + ".");
    }
    if (Fd socket = connect_to(path)) return socket;
    if (!wait_readable(watch, deadline, on_signal)) {
      throw RendezvousError(missing_server_text(path, size, timeout_s));
    }
  }
}

Meeting connect_and_join(const std::string& directory, int rank, int size, double timeout_s,
                         const OnSignal& on_signal) {
  const std::string path = directory + "/store";
  Meeting meeting;
  if (rank == 0) {
    make_private_directory(directory);
    meeting.server = std::make_unique<LocalServer>(path, size, deadline_after(timeout_s));
  }
  Fd socket = connect_when_served(directory, path, size, timeout_s, on_signal);
  if (peer_credentials(socket).uid != ::geteuid()) {
    throw RendezvousError("[rendezvous] the store at '" + path + "' is served by another user.");
  }
  meeting.store = std::make_unique<LocalStore>(
      std::move(socket), rank, size, deadline_after(timeout_s + kAnswerSeconds), on_signal);
  return meeting;
}

/// Removes the directory when a rank is done with it, met or not; only the last one finds it empty.
class DirectoryRemover {
 public:
  explicit DirectoryRemover(const std::string& directory) : directory_(directory) {}
  DirectoryRemover(const DirectoryRemover&) = delete;
  DirectoryRemover& operator=(const DirectoryRemover&) = delete;
  ~DirectoryRemover() { ::rmdir(directory_.c_str()); }

 private:
  const std::string& directory_;
};

}  // namespace

Meeting meet(const std::string& directory, int rank, int size, double timeout_s,
             const OnSignal& on_signal) {
  const DirectoryRemover remover(directory);
  return connect_and_join(directory, rank, size, timeout_s, on_signal);
}

}  // namespace ringsync
