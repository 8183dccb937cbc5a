#include "transport/local_offer.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "transport/local_board.h"
#include "transport/local_connection.h"

namespace ringsync {
namespace {

constexpr char kInbox[] = "inbox";
constexpr char kBoard[] = "board";

/// One ring, read by all other members.
MailboxLayout board_layout(size_t members, size_t bytes) {
  MailboxLayout layout = mailbox_layout(1, bytes);
  layout.readers = std::max<size_t>(members - 1, 1);
  return layout;
}

}  // namespace

LocalOffer::LocalOffer(Host host, int rank, std::string group, std::vector<int> ranks, Room room)
    : host_(host),
      group_(std::move(group)),
      ranks_(std::move(ranks)),
      self_(static_cast<size_t>(std::ranges::find(ranks_, rank) - ranks_.begin())),
      inbox_layout_(mailbox_layout(ranks_.size() - 1, room.inbox_bytes)),
      inbox_bytes_(std::max<size_t>((ranks_.size() - 1) * inbox_layout_.bytes(), 1)),
      board_layout_(board_layout(ranks_.size(), room.board_bytes)),
      has_board_(room.board_bytes > 0) {
  try {
    inbox_ = make(kInbox, inbox_bytes_);
    if (has_board_) board_ = make(kBoard, LocalBoard::block_bytes(board_layout_));
  } catch (...) {
    withdraw();
    throw;
  }
}

Ways LocalOffer::connect(Deadline deadline) {
  Ways ways{connect_each(deadline), nullptr};
  if (has_board_) ways.board = make_board(deadline);
  return ways;
}

void LocalOffer::withdraw() noexcept {
  for (const int rank : ranks_) {
    for (const char* const what : {kInbox, kBoard}) host_.source.forget(rank, key(what, rank));
  }
}

std::string LocalOffer::key(const char* what, int rank) const {
  return std::string(what) + "/" + std::to_string(rank) + "/" + group_;
}

Block LocalOffer::make(const char* what, size_t bytes) {
  Block block = host_.source.create(bytes);
  for (const int rank : ranks_) {
    if (rank != ranks_[self_]) host_.source.share(rank, key(what, ranks_[self_]), block);
  }
  block.fd.reset();
  return block;
}

std::vector<std::unique_ptr<Connection>> LocalOffer::connect_each(Deadline deadline) {
  // An inbox holds one mailbox for each other member, in their order.
  const auto mailbox = [this](const Block& inbox, size_t owner, size_t writer) {
    return inbox.bytes.subspan(place_among_others(writer, owner) * inbox_layout_.bytes(),
                               inbox_layout_.bytes());
  };
  std::vector<std::unique_ptr<Connection>> connections(ranks_.size());
  for (size_t i = 0; i < ranks_.size(); ++i) {
    if (i == self_) continue;
    Block outbox = host_.source.fetch(ranks_[i], key(kInbox, ranks_[i]), inbox_bytes_, deadline);
    const MailboxReader reader(mailbox(inbox_, self_, i), inbox_layout_);
    const MailboxWriter writer(mailbox(outbox, i, self_), inbox_layout_);
    connections[i] = std::make_unique<LocalConnection>(peer(self_), peer(i), host_.source, inbox_,
                                                       std::move(outbox), reader, writer);
  }
  return connections;
}

std::unique_ptr<Board> LocalOffer::make_board(Deadline deadline) {
  std::vector<LocalBoard::Queue> queues;
  for (size_t i = 0; i < ranks_.size(); ++i) {
    const size_t bytes = LocalBoard::block_bytes(board_layout_);
    Block block = i == self_
                      ? board_
                      : host_.source.fetch(ranks_[i], key(kBoard, ranks_[i]), bytes, deadline);
    queues.push_back({peer(i), std::move(block)});
  }
  return std::make_unique<LocalBoard>(self_, std::move(queues), board_layout_);
}

}  // namespace ringsync
