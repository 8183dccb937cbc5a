#include "device/nccl_service.h"

#include <utility>

#include "base/error.h"
#include "base/forget.h"
#include "base/futex.h"

namespace ringsync {
namespace {

/// NCCL tells nobody that something in flight has failed. What works takes less than that, so it is
/// looked at only where it may have.
constexpr auto kBetweenChecks = std::chrono::milliseconds(100);

/// For a stream to come past what was aborted: moments, unless its device stands still.
constexpr auto kRunsOut = std::chrono::seconds(1);

}  // namespace

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
  door_.close();
  raise();
  if (choice_.adopted != nullptr) door_.shut();
}

void NcclService::raise() noexcept {
  ++news_;
  futex_wake_all(news_);
}

void NcclService::work(NcclTalk& talk) {
  look(talk);
  if (state_ == State::kFailed) return;
  if (const auto id = agree(talk)) {
    come_together(*id);
    if (state_ == State::kReady) serve();
  }
  clear();
}

/// False while it joins. Nor is it looked at once nobody wants it any more. Throws Error where
/// something has failed.
bool NcclService::check() {
  const NcclDoor::Visit visit(door_);
  return visit.may_stay() && communicator_->is_ready();
}

/// Until nobody wants it any more, or something has failed: of what is behind that nothing would
/// come either.
void NcclService::serve() {
  try {
    for (;;) {
      const uint32_t seen = news_;
      if (door_.is_closed()) return;
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
  if (door_.is_closed() || posted_.empty()) return std::nullopt;
  Posted next = std::move(posted_.front());
  posted_.pop_front();
  return next;
}

void NcclService::perform(Posted& one) {
  last_ = one.work;
  NcclPut put = one.call({*communicator_, {stream_.get(), kNever, &door_}, *room_});
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
      device_->wait_for(room_->end(), device_->record(behind));
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
