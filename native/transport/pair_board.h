#pragma once

// The board of two ranks: what their connection carries anyway.

#include "transport/transport.h"

namespace ringsync {

/// Two ranks have only one to say it to: what they say comes before what they send.
class PairBoard final : public Board {
 public:
  explicit PairBoard(Connection& connection) : connection_(connection) {}

  size_t segment_bytes() const override { return connection_.segment_bytes(); }
  MutableByteSpan reserve(size_t bytes) override { return connection_.reserve(bytes); }
  void commit() override { connection_.commit(); }
  bool is_behind(int) const override { return true; }  // who else
  ByteSpan peek(int, size_t bytes) override { return connection_.peek(bytes); }
  void release(int) override { connection_.release(); }
  void close() noexcept override {}  // a pair lasts as long as its engine
  bool is_closed(int) const override { return false; }

 private:
  Connection& connection_;
};

}  // namespace ringsync
