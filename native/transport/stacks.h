#pragma once

// What a peer that keeps others waiting is doing: its process is asked by a signal, and writes its
// Python stacks into a file that all can read, whoever holds its interpreter.

#include <memory>
#include <string>
#include <vector>

#include "transport/transport.h"
#include "transport/waiter.h"

namespace ringsync {

/// The signal at which a rank's process writes. Programs of the user's take real-time signals from
/// the lowest on, if they take any; the last two belong to debuggers by habit.
int stacks_signal();

class Stacks final : public Testimony {
 public:
  /// Of `rank` among `peers`, by world rank, which outlive it and are all met.
  Stacks(int rank, const std::vector<std::shared_ptr<Peer>>& peers) : rank_(rank), peers_(peers) {}

  bool ask(int rank) override;
  std::string answer_of(int rank) const override;
  void forget(int rank) override;
  int stacks_fd() const override;
  void say_last_words(const std::string& words) noexcept override;

 private:
  Peer& peer(int rank) const { return *peers_[static_cast<size_t>(rank)]; }

  const int rank_;
  const std::vector<std::shared_ptr<Peer>>& peers_;
};

}  // namespace ringsync
