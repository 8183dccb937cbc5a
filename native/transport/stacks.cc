#include "transport/stacks.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/text.h"

namespace ringsync {
namespace {

/// Some hundred frames; the innermost come first.
constexpr off_t kMostBytes = 16 * 1024;

/// What the kernel says about a process; empty where it says nothing.
std::string field_of(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":")) {
      const size_t begin = line.find_first_not_of(" \t", name.size() + 1);
      return begin == std::string::npos ? std::string() : line.substr(begin);
    }
  }
  return {};
}

/// Of the process behind the peer's pidfd, whose number here may be another than there.
std::string status_of(const Peer& peer, const std::string& name) {
  if (peer.life() == nullptr) return {};
  const std::string pid =
      field_of("/proc/self/fdinfo/" + std::to_string(peer.life()->get()), "Pid");
  return pid.empty() ? std::string() : field_of("/proc/" + pid + "/status", name);
}

/// Else the signal would end it.
bool is_listening(const Peer& peer) {
  const std::string caught = status_of(peer, "SigCgt");
  const uint64_t signals = std::strtoull(caught.c_str(), nullptr, 16);
  return (signals >> (stacks_signal() - 1) & 1) != 0;
}

bool is_stopped(const Peer& peer) {
  const std::string state = status_of(peer, "State");
  return state.starts_with('T') || state.starts_with('t');
}

off_t size_of(const Fd& file) {
  struct stat found{};
  return ::fstat(file.get(), &found) == 0 ? found.st_size : 0;
}

std::string stacks_of(const Peer& peer) {
  if (peer.stacks() == nullptr) return "It is a thread of this process.";
  const off_t begin = peer.stacks_begin();
  std::string text(
      static_cast<size_t>(std::clamp<off_t>(size_of(*peer.stacks()) - begin, 0, kMostBytes)), 0);
  const ssize_t read = ::pread(peer.stacks()->get(), text.data(), text.size(), begin);
  text.resize(static_cast<size_t>(std::max<ssize_t>(read, 0)));
  if (!text.empty()) return "Its stacks:\n" + text;
  if (is_stopped(peer)) return "Its process is stopped, so its stacks cannot be had.";
  return "Its stacks cannot be had: its process does not answer.";
}

}  // namespace

int stacks_signal() { return SIGRTMAX - 2; }

bool Stacks::ask(int rank) {
  Peer& asked = peer(rank);
  uint32_t nobody = 0;
  if (!asked.state().asked_by.compare_exchange_strong(nobody, 1 + static_cast<uint32_t>(rank_))) {
    return false;
  }
  if (asked.stacks() == nullptr) return true;
  asked.set_stacks_begin(size_of(*asked.stacks()));
  if (is_listening(asked)) {
    ::syscall(SYS_pidfd_send_signal, asked.life()->get(), stacks_signal(), nullptr, 0);
  }
  return true;
}

std::string Stacks::answer_of(int rank) const {
  return "Rank " + std::to_string(rank) + " is process " + std::to_string(peer(rank).pid()) +
         " on " + peer(rank).host() + ". " + stacks_of(peer(rank));
}

void Stacks::forget(int rank) {
  uint32_t own = 1 + static_cast<uint32_t>(rank_);
  peer(rank).state().asked_by.compare_exchange_strong(own, 0);
}

int Stacks::stacks_fd() const {
  const Fd* const file = peer(rank_).stacks();
  return file == nullptr ? -1 : file->get();
}

void Stacks::say_last_words(const std::string& words) noexcept {
  RankState& state = peer(rank_).state();
  const std::string_view text = fitting_prefix(words, sizeof(state.last_words) - 1);
  std::memcpy(state.last_words, text.data(), text.size());
  state.last_words[text.size()] = '\0';
  state.has_last_words.store(1, std::memory_order_release);
}

}  // namespace ringsync
