#pragma once

// One rank's queues of a group that is being made: an inbox with a mailbox for each other member,
// and a board. Who may be in a group is not decided here.

#include <memory>
#include <string>
#include <vector>

#include "transport/block.h"
#include "transport/mailbox.h"
#include "transport/transport.h"
#include "transport/waiter.h"

namespace ringsync {

class LocalOffer final : public Offer {
 public:
  /// What makes memory and hands it over, and who is there, by world rank. All outlives the offer.
  struct Host {
    BlockSource& source;
    const std::vector<std::shared_ptr<Peer>>& peers;
  };

  /// Makes and shares the queues of `rank`, a member of `ranks`. Throws Error, RendezvousError.
  LocalOffer(Host host, int rank, std::string group, std::vector<int> ranks, Room room);

  Ways connect(Deadline deadline) override;
  void withdraw() noexcept override;

 private:
  std::string key(const char* what, int rank) const;
  /// A block of this rank's, which all other members see.
  Block make(const char* what, size_t bytes);
  std::vector<std::unique_ptr<Connection>> connect_each(Deadline deadline);
  std::unique_ptr<Board> make_board(Deadline deadline);
  const std::shared_ptr<Peer>& peer(size_t position) const {
    return host_.peers[static_cast<size_t>(ranks_[position])];
  }

  const Host host_;
  const std::string group_;
  const std::vector<int> ranks_;
  const size_t self_;  // position of this rank
  const MailboxLayout inbox_layout_;
  const size_t inbox_bytes_;
  const MailboxLayout board_layout_;
  const bool has_board_;
  Block inbox_;
  Block board_;
};

}  // namespace ringsync
