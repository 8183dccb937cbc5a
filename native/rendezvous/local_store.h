#pragma once

// A rank's connection to the store that rank 0 of its host serves.

#include <mutex>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "base/socket.h"
#include "rendezvous/local_protocol.h"
#include "rendezvous/store.h"

namespace ringsync {

/// Rank 0 has said nothing, so whoever knows why it is silent may say so instead.
class NoReplyError : public RendezvousError {
 public:
  using RendezvousError::RendezvousError;
};

class LocalStore final : public Store {
 public:
  /// Takes a connected socket and joins as `rank` of `size`; returns once all ranks have joined.
  /// Throws what rank 0 replied as a RendezvousError, or NoReplyError. The server answers
  /// everything but a get at once: `reply_s` only bounds a rank 0 that is stopped.
  LocalStore(Fd socket, int rank, int size, Deadline deadline, double reply_s,
             const OnSignal& on_signal);

  void set(const std::string& key, StoreValue value) override;
  StoreValue get(const std::string& key, Deadline deadline) override;
  int64_t add(const std::string& key, int64_t amount) override;
  bool remove(const std::string& key) override;

 private:
  StoreValue ask(const StoreRequest& request, const SharedFd& fd, Deadline deadline,
                 const OnSignal& on_signal = {});

  const double reply_s_;
  std::mutex mutex_;  // one request at a time
  Fd socket_;  // guarded by mutex_; closed after a failure, as a late reply would be mistaken
};

}  // namespace ringsync
