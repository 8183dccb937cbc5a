#include "rendezvous/meeting.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error.h"
#include "rendezvous/ended.h"

namespace ringsync {
namespace {

/// Beyond rank 0's own deadline, so that its answer, which names the missing ranks, comes first.
constexpr double kAnswerSeconds = 5.0;

/// A directory of this user alone; whoever made it, or serves in it, removes it once it is empty.
class MeetingPlace {
 public:
  explicit MeetingPlace(const std::string& directory) : directory_(directory) {}
  MeetingPlace(const MeetingPlace&) = delete;
  MeetingPlace& operator=(const MeetingPlace&) = delete;
  ~MeetingPlace() {
    if (is_ours_) ::rmdir(directory_.c_str());
  }

  const std::string& directory() const { return directory_; }
  std::string socket() const { return directory_ + "/store"; }

  void claim() { is_ours_ = true; }
  /// Makes it if it is missing. Throws RendezvousError if others may enter it.
  void make(Deadline deadline) {
    struct stat status{};
    bool is_there = false;
    do {
      if (::mkdir(directory_.c_str(), 0700) == 0) {
        is_ours_ = true;
      } else if (errno != EEXIST) {
        throw RendezvousError("[rendezvous] cannot create '" + directory_ + "': " + errno_text() +
                              ". Name a directory that can be written, in RINGSYNC_RENDEZVOUS, or "
                              "where that is not set, its parent in TMPDIR.");
      }
      // lstat: a symbolic link put there by somebody else must not lead us elsewhere.
      is_there = ::lstat(directory_.c_str(), &status) == 0;
      // Else an earlier job of this name has just removed it.
    } while (!is_there && errno == ENOENT && Clock::now() < deadline);
    if (!is_there || !S_ISDIR(status.st_mode) || status.st_uid != ::geteuid() ||
        (status.st_mode & 077) != 0) {
      throw RendezvousError(
          "[rendezvous] '" + directory_ +
          "' is not a directory that belongs to this user alone (mode 0700). "
          "Name another one in RINGSYNC_RENDEZVOUS, or where that is not set, its "
          "parent in TMPDIR.");
    }
  }

 private:
  const std::string& directory_;
  bool is_ours_ = false;
};

/// Ready to accept before the name appears, so that whoever sees the name can connect.
Fd listen_under_final_name(MeetingPlace& place, Deadline deadline) {
  const std::string path = place.socket();
  const std::string draft = path + "." + std::to_string(::getpid());
  for (;;) {
    place.make(deadline);
    place.claim();  // a job that died here may have left it
    if (connect_to(path)) {
      throw RendezvousError("[rendezvous] another job already meets at '" + path +
                            "'. Start rank 0 once only, give each job its own RINGSYNC_JOB_ID or "
                            "MASTER_PORT, or wait for the other to end.");
    }
    ::unlink(draft.c_str());
    Fd listener = listen_at(draft);
    if (!listener) continue;  // an earlier job of this name has just removed the directory
    if (::rename(draft.c_str(), path.c_str()) == 0) return listener;
    const std::string reason = errno_text();
    ::unlink(draft.c_str());
    throw RendezvousError("[rendezvous] cannot create '" + path + "': " + reason + ".");
  }
}

/// Connects to rank 0's socket, sleeping on changes of the directory until it is there.
Fd connect_when_served(MeetingPlace& place, int size, double timeout_s, const OnSignal& on_signal) {
  const Deadline deadline = deadline_after(timeout_s);
  for (;;) {
    place.make(deadline);
    // To close a watch takes 10 to 16 ms, for which the kernel waits for all who may look at it.
    if (Fd socket = connect_to(place.socket())) return socket;
    const Fd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!watch) throw RendezvousError("[rendezvous] inotify failed: " + errno_text() + ".");
    constexpr uint32_t kMask = IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF;
    // Looked at once more below, so that nothing appears unseen in between.
    if (::inotify_add_watch(watch.get(), place.directory().c_str(), kMask) < 0) {
      if (errno == ENOENT) continue;  // an earlier job of this name has just removed it
      throw RendezvousError("[rendezvous] cannot watch '" + place.directory() +
                            "': " + errno_text() + ".");
    }
    if (Fd socket = connect_to(place.socket())) return socket;
    if (const auto ended = ended_rank_text(place.socket(), size)) throw RendezvousError(*ended);
    if (!wait_readable(watch, deadline, on_signal)) {
      throw RendezvousError(
          missing_text({0}, size, place.socket(), timeout_s) +
          ". Check that rank 0 was started, with the same RINGSYNC_JOB_ID, or MASTER_ADDR "
          "and MASTER_PORT.");
    }
  }
}

}  // namespace

Meeting meet(const std::string& directory, int rank, int size, double timeout_s, double reply_s,
             const OnSignal& on_signal) {
  MeetingPlace place(directory);
  Meeting meeting;
  if (rank == 0) {
    Fd listener = listen_under_final_name(place, deadline_after(timeout_s));
    meeting.server =
        std::make_unique<LocalServer>(std::move(listener), place.socket(), size, timeout_s);
  }
  Fd socket = connect_when_served(place, size, timeout_s, on_signal);
  if (peer_credentials(socket).uid != ::geteuid()) {
    throw RendezvousError("[rendezvous] the store at '" + place.socket() +
                          "' is served by another user. Set RINGSYNC_RENDEZVOUS, or where it is "
                          "not set, TMPDIR, to a directory of your own.");
  }
  try {
    meeting.store = std::make_unique<LocalStore>(std::move(socket), rank, size,
                                                 deadline_after(timeout_s + kAnswerSeconds),
                                                 reply_s, on_signal);
  } catch (const NoReplyError&) {
    // Rank 0 may have ended the meeting for this before it had heard of us.
    if (const auto ended = ended_rank_text(place.socket(), size)) throw RendezvousError(*ended);
    throw;
  }
  return meeting;
}

}  // namespace ringsync
