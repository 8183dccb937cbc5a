// How all that is in flight ends at one moment. When that is, is giving_up.cc's matter.

#include <memory>
#include <vector>

#include "engine/engine.h"
#include "engine/failures.h"

namespace ringsync {

/// Of `only`, or of all groups. Whoever sees one of their calls failed sees all of them failed,
/// whether the engine had begun it, had taken it, or had not come to it yet.
void Engine::fail(const Group* only, const std::exception_ptr& error) {
  // What may take its time comes first.
  const Deadline deadline = Clock::now() + kRunOut;
  for (const auto& group : queue_.groups(only)) group->run_out(deadline);
  const Ending ending{error, std::make_shared<Gate>()};
  // One list, also to wake: a group of which nothing is in flight may be closed at any time.
  std::vector<std::shared_ptr<Group>> groups;
  {
    const Opening opening(*ending.gate);
    auto queued = queue_.fail(only, ending);
    groups = queue_.groups(only);
    for (const auto& group : groups) group->fail_all(ending);
    // One group alone fails between two turns, when nothing is taken.
    for (auto* const items : {&taken_, &queued}) {
      for (RequestQueue::Queued& item : *items) {
        if (item.handle) item.group->turn_away(item.request, item.handle, ending);
        item.handle.reset();
      }
    }
  }
  for (const auto& group : groups) group->wake_sleepers();
}

void Group::run_out(Deadline deadline) {
  end_delivered();
  // With whatever values.
  if (device_peers_) device_peers_->give_up(deadline, is_idle());
  for (const Operation& one : delivering_) one.settle(deadline);
}

void Group::fail_all(const Ending& ending) {
  announcement_.abandon();
  order_.abandon();
  stand_in_.reset();
  while (!delivering_.empty()) {
    const Operation& first = delivering_.front();
    const bool is_over = first.settle(Clock::now());
    // What stands still may go on when its caller has freed the array.
    if (!is_over) home_.is_exposed = true;
    const bool is_delivered = is_over && !first.runs_on_device();
    end(delivering_, delivering_.begin(), is_delivered ? error_of_device(first) : ending.error,
        ending.gate);
  }
  if (device_peers_ && device_peers_->is_begun()) home_.is_exposed = true;
  while (!operations_.empty()) {
    // Of one on its way back nobody may have been told that it began.
    if (!operations_.front().settle(Clock::now())) home_.is_exposed = true;
    operations_.front().set_done(now_ns());
    home_.on_met(operations_.front().request());
    end(operations_, operations_.begin(), ending.error, ending.gate);
  }
  watch_.rest();
}

void Group::turn_away(const Request& request, const std::shared_ptr<Handle>& handle,
                      const Ending& ending) {
  count_finished();
  const Times times{.submitted_ns = request.submitted_ns, .done_ns = now_ns()};
  if (handle->complete(times, ending.error, ending.gate)) sleepers_.push_back(handle);
}

}  // namespace ringsync
