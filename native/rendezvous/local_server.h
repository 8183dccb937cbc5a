#pragma once

// The store of one host's job, served by rank 0 over an AF_UNIX socket. One thread that sleeps in
// poll(); processes of another user are refused before a byte of theirs is read.

#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/socket.h"
#include "rendezvous/local_protocol.h"
#include "rendezvous/store.h"

namespace ringsync {

class LocalServer {
 public:
  /// Serves `size` ranks from now on through `listener`, whose socket file is `path`. Ranks that
  /// join get their answer once all have joined, or after `timeout_s` an error naming the absent.
  /// The socket file is unlinked as soon as all have joined. Keys have the form kind/rank/...: who
  /// waits for a key of a rank that has gone is told so.
  LocalServer(Fd listener, std::string path, int size, double timeout_s);
  LocalServer(const LocalServer&) = delete;
  LocalServer& operator=(const LocalServer&) = delete;
  ~LocalServer();

 private:
  struct Client {
    Fd socket;
    int rank = -1;            // -1 until it has joined
    std::string waiting_for;  // key of an unanswered get
    bool gone = false;
  };

  void serve();
  void accept_client();
  void answer(Client& client);
  void handle(Client& client, StoreRequest request, SharedFd fd);
  void join(Client& client, const std::string& text);
  void put(const std::string& key, StoreValue value);
  void finish_meeting(const std::string& reply);
  void look_for_ended_rank();
  bool is_here(int rank) const;
  std::vector<int> missing() const;
  std::string late_text() const;
  void forget(Client& client);
  std::string gone_text(int rank) const;

  const std::string path_;
  const int size_;
  const double timeout_s_;
  const Deadline deadline_;
  const int pid_;  // of the process that owns the thread
  Fd listener_;
  Fd stop_;
  // All below belongs to thread_.
  std::vector<Client> clients_;
  std::map<std::string, StoreValue> values_;
  std::set<int> gone_;   // ranks that had joined
  std::string refused_;  // as which rank of how many the last one came that was sent away
  std::string failure_;  // the reply that ended the meeting without all ranks, "" if none did
  bool is_meeting_ = true;
  bool is_look_due_ = true;  // somebody may have noted that a rank has ended
  std::thread thread_;
};

}  // namespace ringsync
