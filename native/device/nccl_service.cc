#include "device/nccl_service.h"

#include <thread>
#include <utility>

#include "base/error.h"
#include "base/forget.h"
#include "base/futex.h"

namespace ringsync {
namespace {

/// For all ranks to come, and for the connections of NCCL's first call: seconds where there are
/// many. Meanwhile work goes another way.
constexpr auto kComeTogether = std::chrono::seconds(120);
/// NCCL has nothing to wait on.
constexpr auto kBetweenVisits = std::chrono::milliseconds(1);

/// NCCL tells nobody that something in flight has failed. What works takes less than that, so it is
/// looked at only where it may have.
constexpr auto kBetweenChecks = std::chrono::milliseconds(100);

/// For a group that is just being closed to give back its room on the device.
constexpr auto kGivenBack = std::chrono::seconds(1);

/// For a stream to come past what was aborted: moments, unless its device stands still.
constexpr auto kRunsOut = std::chrono::seconds(1);

}  // namespace

void NcclService::join(const nccl::UniqueId& id) {
  {
    const std::scoped_lock lock(mutex_);
    id_ = id;
  }
  raise();
}

std::optional<std::string> NcclService::take_failure() {
  if (state_ != State::kFailed || failure_.empty()) return std::nullopt;
  return std::exchange(failure_, {});
}

std::shared_ptr<const StreamWork> NcclService::post(NcclCall call) {
  const std::shared_ptr<StreamWork> work = device_->expect();
  std::exception_ptr closed;
  {
    const std::scoped_lock lock(mutex_);
    closed = closed_;
    if (!closed) posted_.push_back({std::move(call), work});
  }
  if (closed) {
    drop(*work, closed);
  } else {
    raise();
  }
  return work;
}

std::exception_ptr NcclService::failure() {
  if (!has_failed_) return nullptr;
  const std::scoped_lock lock(mutex_);
  return closed_;
}

void NcclService::leave() noexcept {
  {
    const std::scoped_lock lock(mutex_);
    is_left_ = true;
  }
  raise();
}

void NcclService::raise() noexcept {
  ++news_;
  futex_wake_all(news_);
}

void NcclService::work(const std::function<void(const NcclFound&)>& tell) {
  look(tell);
  if (state_ == State::kFailed) return;
  if (const auto unique_id = await_id()) {
    come_together(*unique_id);
    if (state_ == State::kReady) serve();
  }
  clear();
}

void NcclService::look(const std::function<void(const NcclFound&)>& tell) {
  NcclFound found;
  found.has_adopted = choice_.adopted != nullptr;
  try {
    device_->adopt_thread();
    library_.emplace(choice_.chosen, choice_.candidates);
    if (place_.rank == 0 && !found.has_adopted) {
      found.id = NcclCommunicator::make_id(*library_);
    }
    found.version = library_->version();
    found.is_full = choice_.max_ctas > 0 && !find_room();
  } catch (const std::exception& error) {
    // Who has named none may have none.
    note_failure(choice_.chosen.empty() && !library_ ? "" : error.what());
  }
  tell(found);
}

/// On the device, for its kernels.
bool NcclService::find_room() {
  const Deadline deadline = Clock::now() + kGivenBack;
  while (!(kernel_room_ = device_->kernel_room().take())) {
    if (is_left_ || Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kBetweenVisits);
  }
  return true;
}

/// None where nobody wants it any more.
std::optional<nccl::UniqueId> NcclService::await_id() {
  for (;;) {
    const uint32_t seen = news_;
    if (is_left_) return std::nullopt;
    {
      const std::scoped_lock lock(mutex_);
      if (id_) return id_;
    }
    futex_wait(news_, seen, kNever);
  }
}

void NcclService::come_together(const nccl::UniqueId& unique_id) {
  try {
    stream_ = device_->make_stream();
    communicator_ = choice_.adopted != nullptr
                        ? std::make_unique<NcclCommunicator>(*library_, choice_.adopted, place_)
                        : std::make_unique<NcclCommunicator>(*library_, unique_id, place_);
    const Deadline deadline = Clock::now() + kComeTogether;
    settle(deadline, [this] { return check(); });
    const NcclCommunicator::Turn turn{stream_.get(), deadline, &is_left_};
    make_room(turn);
    // Of somebody else's nothing is asked that all ranks' callers have not asked for.
    if (choice_.adopted == nullptr) connect(turn);
    check();
    state_ = State::kReady;
  } catch (const std::exception& error) {
    if (communicator_) communicator_->abort();
    note_failure(error.what());
  }
}

/// NCCL connects its ranks at their first call.
void NcclService::connect(const NcclCommunicator::Turn& turn) {
  const MutableByteSpan one{memory_.get(), size_bytes(Dtype::kFloat32)};
  communicator_->allreduce(one, one, Dtype::kFloat32, ReduceOp::kMax, turn);
  const std::shared_ptr<StreamWork> first = device_->expect();
  last_ = first;
  device_->watch(first, stream_.get(), nullptr);
  settle(turn.deadline, [&] { return first->is_done(); });
}

/// In a window, unless that would stay in somebody else's communicator.
void NcclService::make_room(const NcclCommunicator::Turn& turn) {
  const bool has_window = library_->has_windows() && choice_.adopted == nullptr;
  memory_ = has_window ? library_->allocate(room_bytes_) : device_->lend_shareable(room_bytes_);
  const MutableByteSpan bytes{memory_.get(), room_bytes_};
  if (has_window) communicator_->share(bytes, turn);
  room_ = std::make_unique<FusionRoom>(*device_, bytes, stream_.get());
}

/// False while it joins. Nor is it looked at once nobody wants it any more: an adopted one may be
/// gone as soon as leave() has returned. Throws Error where something has failed.
bool NcclService::check() {
  const std::scoped_lock lock(mutex_);
  return !is_left_ && communicator_->is_ready();
}

/// Throws Error where others do not come in time, or nobody wants it any more.
void NcclService::settle(Deadline deadline, const std::function<bool()>& is_done) const {
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

/// Until nobody wants it any more, or something has failed: of what is behind that nothing would
/// come either.
void NcclService::serve() {
  try {
    for (;;) {
      const uint32_t seen = news_;
      if (is_left_) return;
      if (std::optional<Posted> next = take()) {
        perform(*next);
        continue;
      }
      futex_wait(news_, seen, is_at_work() ? Clock::now() + kBetweenChecks : kNever);
      if (is_at_work()) check();
    }
  } catch (const std::exception&) {
    fail(std::current_exception());
  }
}

std::optional<NcclService::Posted> NcclService::take() {
  const std::scoped_lock lock(mutex_);
  if (is_left_ || posted_.empty()) return std::nullopt;
  Posted next = std::move(posted_.front());
  posted_.pop_front();
  return next;
}

void NcclService::perform(Posted& one) {
  last_ = one.work;
  NcclPut put = one.call({*communicator_, {stream_.get(), kNever, &is_left_}, *room_});
  device_->watch(one.work, put.stream, std::move(put.passed), std::move(put.measures));
  device_->ring();  // what is to come behind it on other streams can be given to them now
}

/// It is told before anything ends for it: what is at work then comes to its end with any values.
/// Its caller's arrays are in use until its stream is past it.
void NcclService::fail(const std::exception_ptr& error) {
  {
    const std::scoped_lock lock(mutex_);
    closed_ = error;
    has_failed_ = true;
  }
  const bool is_put = last_->is_put();
  last_->note_failed(error);
  device_->ring();
  close_for(error);
  communicator_->abort();
  if (is_put) return;
  try {
    // It may have come to any of them.
    for (void* const behind : {room_->packing(), stream_.get()}) {
      device_->require(device_->api().wait_event(room_->end(), device_->record(behind).get()),
                       "an event cannot be waited for");
    }
    device_->watch_rest(last_, room_->end());
  } catch (const std::exception&) {
    // The first one has been told, and it will never be over.
  }
}

/// Nothing is taken from now on.
void NcclService::close_for(const std::exception_ptr& error) {
  std::deque<Posted> left;
  {
    const std::scoped_lock lock(mutex_);
    if (!closed_) closed_ = error;
    left.swap(posted_);
  }
  for (const Posted& one : left) drop(*one.work, error);
}

void NcclService::drop(StreamWork& work, const std::exception_ptr& error) const {
  work.note_failed(error);
  device_->drop(work);
}

/// To give back what a stream that stands still may yet use would wait for it.
void NcclService::clear() noexcept {
  close_for(std::make_exception_ptr(Error("[nccl] the group was closed.")));
  const bool is_well = state_ == State::kReady && !is_at_work() && !(last_ && last_->failure());
  if (communicator_ && !is_well) communicator_->abort();
  communicator_.reset();
  if (!is_well) forget(std::move(memory_));  // which an aborted one may still know of
  if (!last_ || device_->wait(*last_, Clock::now() + kRunsOut)) {
    kernel_room_.reset();
    return;
  }
  if (room_) room_->forget_streams();
  forget(std::move(stream_));
  forget(std::move(kernel_room_));
}

void NcclService::note_failure(std::string why) {
  failure_ = std::move(why);
  state_ = State::kFailed;
}

}  // namespace ringsync
