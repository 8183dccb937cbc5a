#include "hostsim/stream.h"

#include <cstdint>
#include <utility>

namespace ringsync::hostsim {

void Mark::reach() noexcept {
  time = std::chrono::steady_clock::now();
  is_reached.store(true);
  is_reached.notify_all();
}

void Mark::wait() const noexcept { is_reached.wait(false); }

std::shared_ptr<Mark> Event::last() {
  const std::scoped_lock lock(mutex);
  return mark;
}

Stream::Stream() : thread_([this] { run(); }) {}

Stream::~Stream() {
  {
    const std::scoped_lock lock(mutex_);
    is_closing_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Stream::submit(Task task) {
  {
    const std::scoped_lock lock(mutex_);
    if (kept_) {
      kept_->push_back(std::move(task));
      return;
    }
    tasks_.push_back(std::move(task));
  }
  changed_.notify_all();
}

RsStatus Stream::submit_once(Task task) {
  {
    const std::scoped_lock lock(mutex_);
    if (kept_) return kRsBadArgument;
    tasks_.push_back(std::move(task));
  }
  changed_.notify_all();
  return kRsOk;
}

RsStatus Stream::begin_keeping() {
  const std::scoped_lock lock(mutex_);
  if (kept_) return kRsBadArgument;
  kept_.emplace();
  return kRsOk;
}

std::optional<Tasks> Stream::end_keeping() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(kept_, std::nullopt);
}

RsStatus Stream::synchronize() {
  std::unique_lock lock(mutex_);
  if (kept_) return kRsBadArgument;
  changed_.wait(lock, [this] { return tasks_.empty() && !is_busy_; });
  return first_failure_;
}

void Stream::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return !tasks_.empty() || is_closing_; });
    if (tasks_.empty()) return;
    const Task task = std::move(tasks_.front());
    tasks_.pop_front();
    is_busy_ = true;
    lock.unlock();
    const RsStatus status = task();
    lock.lock();
    is_busy_ = false;
    if (first_failure_ == kRsOk) first_failure_ = status;
    changed_.notify_all();
  }
}

Stream* find_stream(void* stream) noexcept {
  constexpr uintptr_t kPerThread = 2;
  return reinterpret_cast<uintptr_t>(stream) <= kPerThread ? nullptr : static_cast<Stream*>(stream);
}

RsStatus submit(void* stream, Task task) {
  Stream* const found = find_stream(stream);
  if (found == nullptr) return task();
  found->submit(std::move(task));
  return kRsOk;
}

RsStatus submit_once(void* stream, Task task) {
  Stream* const found = find_stream(stream);
  return found != nullptr ? found->submit_once(std::move(task)) : task();
}

}  // namespace ringsync::hostsim
