#pragma once

// What runs put on one stream, kept as graphs once it has come again, so that all its calls are
// one. What that is, and what comes before and behind it, is for those who run.

#include <cstddef>
#include <functional>
#include <list>
#include <memory>

#include "base/dtype.h"
#include "collective/route.h"
#include "device/device.h"

namespace ringsync {

/// All that decides what a run puts on the stream.
struct RunKey {
  std::shared_ptr<const Route> route;  // one that is kept has its address to itself
  size_t offset = 0;                   // of its half of the fusion buffer
  const std::byte* output = nullptr;   // where a schedule writes results itself; else null
  Dtype dtype = Dtype::kUint8;
  double scale = 1;

  bool operator==(const RunKey&) const = default;
};

/// Each rank's own business: peers cannot tell a graph from its calls. One thread at a time.
class DeviceGraphs {
 public:
  /// Both outlive it.
  DeviceGraphs(const Device& device, void* stream) : device_(device), stream_(stream) {}

  /// Gives the stream what `put` gives it, which `key` decides alone. Throws what that throws.
  void run(const RunKey& key, const std::function<void()>& put);
  /// The stream stands still: to give any back may wait for it.
  void forget_all();

 private:
  struct Kept {
    RunKey key;
    std::shared_ptr<void> graph;  // null: it has come once
  };

  bool launch(Kept& kept, const std::function<void()>& put) const;
  std::shared_ptr<void> make(const std::function<void()>& put) const;

  const Device& device_;
  void* const stream_;
  std::list<Kept> kept_;  // the last one that came is first
  bool is_refused_ = false;
};

}  // namespace ringsync
