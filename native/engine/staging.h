#pragma once

// Registered memory that a group lends to private arrays, one after another: peers then sum them
// where they lie, which spares the queues at the price of two copies.

#include <memory>

#include "base/span.h"
#include "transport/transport.h"

namespace ringsync {

/// One thread at a time.
class Staging {
 public:
  /// For a group of `ranks`; `transport` outlives it. Without memory for it, arrays take the
  /// queues.
  Staging(Transport& transport, size_t ranks);

  /// Most bytes that it lends; 0: none.
  size_t size_bytes() const { return size_bytes_; }
  const Registration& registration() const { return registration_; }
  /// Lends as much as `data` is long, and copies it there: some bytes, and at most size_bytes().
  /// What was lent before must be done with.
  MutableByteSpan lend(ByteSpan data);

 private:
  std::shared_ptr<std::byte> memory_;
  size_t size_bytes_ = 0;
  Registration registration_;
};

}  // namespace ringsync
