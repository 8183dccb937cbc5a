#pragma once

// Exceptions of the native core, one class per kind, one to one with ringsync/errors.py. Nothing
// here formats or logs: a message is complete where it is thrown.

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace ringsync {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class MismatchError : public Error {
 public:
  using Error::Error;
};

class DuplicateNameError : public Error {
 public:
  using Error::Error;
};

class NotInitializedError : public Error {
 public:
  using Error::Error;
};

class ConfigError : public Error {
 public:
  using Error::Error;
};

class RendezvousError : public Error {
 public:
  using Error::Error;
};

class TimedOutError : public Error {
 public:
  TimedOutError(const std::string& message, std::vector<int> missing)
      : Error(message), missing_(std::move(missing)) {}

  /// Ranks that had not taken part when the time ran out.
  const std::vector<int>& missing() const { return missing_; }

 private:
  std::vector<int> missing_;
};

/// Nothing has moved for as long as is allowed.
class StallError : public TimedOutError {
 public:
  using TimedOutError::TimedOutError;
};

/// What is known of a lost rank.
struct LostPeer {
  int rank = -1;
  std::string host;
  int pid = -1;
  std::string cause;
};

class PeerLostError : public Error {
 public:
  PeerLostError(const std::string& message, LostPeer peer, std::string tensor)
      : Error(message), peer_(std::move(peer)), tensor_(std::move(tensor)) {}

  const LostPeer& peer() const { return peer_; }
  const std::string& tensor() const { return tensor_; }

 private:
  LostPeer peer_;
  std::string tensor_;
};

}  // namespace ringsync
