#include "engine/device_graphs.h"

#include <algorithm>
#include <utility>

#include "base/forget.h"

namespace ringsync {
namespace {

/// Two halves of the fusion buffer times 128 buckets: a model of 4 GB, in buckets of 32 MiB. A
/// graph is some 50 calls, which take tens of kilobytes; to look for one takes less than any of
/// them.
constexpr size_t kMostKept = 256;

}  // namespace

/// What comes once is not worth a graph, which takes longer to make than to do without.
void DeviceGraphs::run(const RunKey& key, const std::function<void()>& put) {
  if (is_refused_) return put();
  const auto known = std::ranges::find(kept_, key, &Kept::key);
  if (known == kept_.end()) {
    if (kept_.size() == kMostKept) kept_.pop_back();
    kept_.push_front({key, nullptr});
    return put();
  }
  kept_.splice(kept_.begin(), kept_, known);
  if (launch(*known, put)) return;
  // What it was refused for may come again. Nobody has to know: only calls are saved.
  is_refused_ = true;
  kept_.clear();
  put();
}

/// False where the plug-in refuses; nothing is on the stream then.
bool DeviceGraphs::launch(Kept& kept, const std::function<void()>& put) const {
  if (!kept.graph) kept.graph = make(put);
  return kept.graph && device_.api().launch_graph(kept.graph.get(), stream_) == kRsOk;
}

/// Null where the plug-in refuses.
std::shared_ptr<void> DeviceGraphs::make(const std::function<void()>& put) const {
  const RsDeviceApi& api = device_.api();
  if (api.begin_graph(stream_) != kRsOk) return nullptr;
  bool is_whole = true;
  try {
    put();
  } catch (...) {  // whatever it is: it is put without a graph next, and thrown then
    is_whole = false;
  }
  void* made = nullptr;
  if (api.end_graph(stream_, &made) != kRsOk) return nullptr;
  const std::shared_ptr<void> graph(made, [&device = device_](void* done) {
    if (device.is_here()) device.api().destroy_graph(done);
  });
  return is_whole ? graph : nullptr;
}

void DeviceGraphs::forget_all() { forget(std::move(kept_)); }

}  // namespace ringsync
