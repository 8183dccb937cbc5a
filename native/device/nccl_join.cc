#include "device/nccl_join.h"

#include <unistd.h>

#include <utility>

#include "base/error.h"
#include "base/forget.h"
#include "base/signals.h"

namespace ringsync {
namespace {

/// For all ranks to come, and for the connections of NCCL's first call: seconds where there are
/// many. Meanwhile work goes another way.
constexpr auto kComeTogether = std::chrono::seconds(120);
/// NCCL has nothing to wait on.
constexpr auto kBetweenVisits = std::chrono::milliseconds(1);

/// Of the first call, which nobody else sees.
constexpr size_t kFirstBytes = 1024;

}  // namespace

NcclJoin::NcclJoin(std::shared_ptr<Device> device, NcclChoice choice,
                   const NcclCommunicator::Place& place,
                   const std::function<void(const Found&)>& tell)
    : device_(std::move(device)), choice_(std::move(choice)), place_(place), pid_(::getpid()) {
  try {
    run([this, tell] { look(tell); });
  } catch (const std::exception& error) {  // of a thread that cannot be had
    fail(error.what());
    tell({});
  }
}

NcclJoin::~NcclJoin() {
  if (::getpid() != pid_) {  // a forked child has no such thread
    if (thread_.joinable()) forget(std::move(thread_));
    return;
  }
  {
    const std::scoped_lock lock(mutex_);
    is_left_ = true;
    if (communicator_ && state_ != State::kReady) communicator_->abort();
  }
  if (thread_.joinable()) thread_.join();
}

void NcclJoin::join(const nccl::UniqueId& id) {
  try {
    run([this, id] { come_together(id); });
  } catch (const std::exception& error) {
    fail(error.what());
  }
}

NcclCommunicator* NcclJoin::communicator() const {
  return state_ == State::kReady ? communicator_.get() : nullptr;
}

std::optional<std::string> NcclJoin::take_failure() {
  if (state_ != State::kFailed || failure_.empty()) return std::nullopt;
  return std::exchange(failure_, {});
}

/// One piece of work after another.
void NcclJoin::run(std::function<void()> work) {
  if (thread_.joinable()) thread_.join();  // it has told, which was the last that it did
  thread_ = std::thread([work = std::move(work)] {
    block_signals();
    work();
  });
}

void NcclJoin::look(const std::function<void(const Found&)>& tell) {
  Found found;
  try {
    device_->adopt_thread();
    library_.emplace(choice_.chosen, choice_.candidates);
    if (place_.rank == 0) found.id = NcclCommunicator::make_id(*library_);
    found.version = library_->version();
  } catch (const std::exception& error) {
    // Who has named none may have none.
    fail(choice_.chosen.empty() && !library_ ? "" : error.what());
  }
  tell(found);
}

void NcclJoin::come_together(const nccl::UniqueId& id) {
  std::shared_ptr<void> stream;
  std::shared_ptr<std::byte> memory;
  try {
    device_->adopt_thread();
    stream = device_->make_stream();
    memory = device_->lend_shareable(kFirstBytes);
    {
      const std::scoped_lock lock(mutex_);
      if (is_left_) return;
      communicator_ = std::make_unique<NcclCommunicator>(*library_, id, place_);
    }
    const Deadline deadline = Clock::now() + kComeTogether;
    settle(deadline, [this] { return communicator_->is_ready(); });
    // NCCL connects its ranks at their first call.
    const MutableByteSpan bytes{memory.get(), kFirstBytes};
    communicator_->allreduce(bytes, bytes, Dtype::kUint8, ReduceOp::kMax, {stream.get(), deadline});
    const DeviceEvent done = device_->record(stream.get());
    settle(deadline, [&] { return device_->is_reached(done); });
    communicator_->is_ready();
    state_ = State::kReady;
  } catch (const std::exception& error) {
    if (communicator_) communicator_->abort();
    // It may have been given to NCCL.
    forget(std::move(stream));
    forget(std::move(memory));
    fail(error.what());
  }
}

/// Throws Error where others do not come in time, or nobody wants it any more.
void NcclJoin::settle(Deadline deadline, const std::function<bool()>& is_done) const {
  while (!is_done()) {
    if (is_left_) throw Error("[nccl] the group was closed.");
    if (Clock::now() >= deadline) {
      throw Error("[nccl] the ranks have not come together for " +
                  std::to_string(std::chrono::seconds(kComeTogether).count()) +
                  " s. Set NCCL_DEBUG=INFO to see more.");
    }
    std::this_thread::sleep_for(kBetweenVisits);
  }
}

void NcclJoin::fail(std::string why) {
  failure_ = std::move(why);
  state_ = State::kFailed;
}

}  // namespace ringsync
