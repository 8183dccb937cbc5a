#include "rendezvous/local_store.h"

#include <utility>

namespace ringsync {

LocalStore::LocalStore(Fd socket, int rank, int size, Deadline deadline, double reply_s,
                       const OnSignal& on_signal)
    : reply_s_(reply_s), socket_(std::move(socket)) {
  ask({StoreVerb::kJoin, "", std::to_string(rank) + " " + std::to_string(size)}, {}, deadline,
      on_signal);
}

void LocalStore::set(const std::string& key, StoreValue value) {
  ask({StoreVerb::kSet, key, std::move(value.bytes)}, value.fd, deadline_after(reply_s_));
}

StoreValue LocalStore::get(const std::string& key, Deadline deadline) {
  return ask({StoreVerb::kGet, key, ""}, {}, deadline);
}

int64_t LocalStore::add(const std::string& key, int64_t amount) {
  const StoreValue reply =
      ask({StoreVerb::kAdd, key, std::to_string(amount)}, {}, deadline_after(reply_s_));
  const auto sum = parse_integer(reply.bytes);
  if (!sum) throw RendezvousError(not_a_counter_text(key));
  return *sum;
}

bool LocalStore::remove(const std::string& key) {
  return ask({StoreVerb::kRemove, key, ""}, {}, deadline_after(reply_s_)).bytes == "1";
}

StoreValue LocalStore::ask(const StoreRequest& request, const SharedFd& fd, Deadline deadline,
                           const OnSignal& on_signal) {
  const std::scoped_lock lock(mutex_);
  std::optional<Packet> reply;
  if (socket_ && send_packet(socket_, encode(request), fd)) {
    reply = receive_packet(socket_, deadline, on_signal);
  }
  if (!reply) {
    socket_.reset();
    throw NoReplyError("[rendezvous] the store at rank 0 did not answer" +
                       (request.key.empty() ? std::string() : " for '" + request.key + "'") +
                       ". Read rank 0's log first: it has ended or does not respond.");
  }
  if (reply->has_lost_fd) throw RendezvousError(lost_descriptor_text(request.key));
  if (reply->bytes[0] != kReplyOk) throw RendezvousError(reply->bytes.substr(1));
  return {reply->bytes.substr(1), std::move(reply->fd), {}};
}

}  // namespace ringsync
