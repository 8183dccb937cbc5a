#include "hostsim/graphs.h"

#include <memory>
#include <optional>
#include <utility>

#include "hostsim/guarded.h"
#include "hostsim/stream.h"

namespace ringsync::hostsim {
namespace {

/// Shared with what has been launched.
using Graph = std::shared_ptr<const Tasks>;

RsStatus do_all(const Tasks& tasks) {
  RsStatus first_failure = kRsOk;
  for (const Task& task : tasks) {
    const RsStatus status = task();
    if (first_failure == kRsOk) first_failure = status;
  }
  return first_failure;
}

}  // namespace

RsStatus begin_graph(void* stream) {
  Stream* const found = find_stream(stream);
  if (found == nullptr) return kRsBadArgument;
  return guarded([&] { return found->begin_keeping(); });
}

RsStatus end_graph(void* stream, void** graph) {
  Stream* const found = find_stream(stream);
  if (found == nullptr || graph == nullptr) return kRsBadArgument;
  *graph = nullptr;
  return guarded([&]() -> RsStatus {
    std::optional<Tasks> kept = found->end_keeping();
    if (!kept) return kRsBadArgument;
    *graph = std::make_unique<Graph>(std::make_shared<Tasks>(*std::move(kept))).release();
    return kRsOk;
  });
}

RsStatus launch_graph(void* graph, void* stream) {
  if (graph == nullptr || find_stream(stream) == nullptr) return kRsBadArgument;
  return guarded([&] {
    return submit_once(stream,
                       [graph = *static_cast<const Graph*>(graph)] { return do_all(*graph); });
  });
}

RsStatus destroy_graph(void* graph) {
  if (graph == nullptr) return kRsBadArgument;
  const std::unique_ptr<Graph> owned(static_cast<Graph*>(graph));
  return kRsOk;
}

}  // namespace ringsync::hostsim
