#pragma once

// The key-value store through which ranks find one another. It carries a few small values per rank
// at start-up and none afterwards; it is no data path.

#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/fd.h"

namespace ringsync {

/// A value, and what may travel beside its bytes: a descriptor between processes of one host, an
/// object between threads of one process.
struct StoreValue {
  std::string bytes;
  SharedFd fd;
  std::shared_ptr<void> object;
};

/// Any thread.
class Store {
 public:
  virtual ~Store() = default;

  /// Returns at once; replaces an earlier value. Throws RendezvousError.
  virtual void set(const std::string& key, StoreValue value) = 0;
  /// Waits until `key` is set. Throws RendezvousError at the deadline.
  virtual StoreValue get(const std::string& key, Deadline deadline) = 0;
  /// Adds to a decimal counter that starts at 0 and returns the sum. Throws RendezvousError.
  virtual int64_t add(const std::string& key, int64_t amount) = 0;
  /// True if there was such a key. Throws RendezvousError.
  virtual bool remove(const std::string& key) = 0;
};

}  // namespace ringsync
