#include "device/nccl_thread.h"

#include <unistd.h>

#include <atomic>
#include <deque>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "base/forget.h"
#include "base/futex.h"
#include "base/signals.h"

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

/// For a stream to come past what was aborted: moments, unless its device stands still.
constexpr auto kRunsOut = std::chrono::seconds(1);
/// Likewise, or for a communicator to take its leave of the others, which takes as long at most;
/// and some more.
constexpr auto kLeave = std::chrono::seconds(2);

}  // namespace

/// What the thread works on; it outlives whoever does not wait for the thread.
struct NcclThread::Shared {
  enum class State : uint8_t { kOnTheWay, kReady, kFailed };
  /// A call that waits for its turn.
  struct Posted {
    std::vector<DeviceEvent> after;
    Call call;
    std::shared_ptr<StreamWork> work;
  };

  const std::shared_ptr<Device> device;
  const NcclChoice choice;
  const NcclCommunicator::Place place;
  const size_t room_bytes;
  std::atomic<State> state{State::kOnTheWay};
  std::string failure;               // written before state
  std::atomic<bool> is_left{false};  // by its owner
  /// Raised with whatever the thread is to look at; it sleeps there.
  std::atomic<uint32_t> news{0};
  /// 1: the thread has ended, 2: nobody will wait for that.
  std::atomic<uint32_t> end{0};
  std::mutex mutex;
  std::optional<nccl::UniqueId> id;  // guarded by mutex
  std::deque<Posted> posted;         // likewise
  std::exception_ptr closed;         // likewise: why nothing is taken any more

  // The thread's alone.
  std::optional<NcclLibrary> library;
  std::unique_ptr<NcclCommunicator> communicator;
  std::shared_ptr<void> stream;
  std::shared_ptr<std::byte> room;
  std::shared_ptr<StreamWork> last;

  bool is_at_work() const { return last && !last->is_done(); }
  void raise() noexcept {
    ++news;
    futex_wake_all(news);
  }
  void work(const std::function<void(const Found&)>& tell);
  void look(const std::function<void(const Found&)>& tell);
  std::optional<nccl::UniqueId> await_id();
  void come_together(const nccl::UniqueId& unique_id);
  void settle(Deadline deadline, const std::function<bool()>& is_done) const;
  void serve();
  std::optional<Posted> take();
  void perform(Posted& one);
  void fail(const std::exception_ptr& error);
  void close_for(const std::exception_ptr& error);
  void drop(StreamWork& work, const std::exception_ptr& error) const;
  void clear() noexcept;
  void note_failure(std::string why);
};

NcclThread::NcclThread(std::shared_ptr<Device> device, NcclChoice choice,
                       const NcclCommunicator::Place& place, size_t room_bytes,
                       std::function<void(const Found&)> tell)
    : pid_(::getpid()),
      shared_(std::make_shared<Shared>(std::move(device), std::move(choice), place, room_bytes)) {
  try {
    thread_ = std::thread([shared = shared_, tell]() mutable {
      block_signals();
      shared->work(tell);
      // Whoever waits no longer may be at the process's end, when nothing can be given back.
      uint32_t running = 0;
      if (!shared->end.compare_exchange_strong(running, 1)) forget(std::move(shared));
      if (shared) futex_wake_all(shared->end);
    });
  } catch (const std::exception& error) {  // of a thread that cannot be had
    shared_->note_failure(error.what());
    tell({});
  }
}

NcclThread::~NcclThread() {
  if (!thread_.joinable()) return;
  if (::getpid() == pid_) {
    leave();
    const Deadline deadline = Clock::now() + kLeave;
    while (shared_->end == 0 && Clock::now() < deadline) futex_wait(shared_->end, 0, deadline);
    uint32_t running = 0;
    if (!shared_->end.compare_exchange_strong(running, 2)) {
      thread_.join();
      return;
    }
  }
  forget(std::move(thread_));  // a forked child has none
  forget(std::move(shared_));
}

void NcclThread::join(const nccl::UniqueId& id) {
  {
    const std::scoped_lock lock(shared_->mutex);
    shared_->id = id;
  }
  shared_->raise();
}

bool NcclThread::is_ready() const { return shared_->state == Shared::State::kReady; }

std::optional<std::string> NcclThread::take_failure() {
  if (shared_->state != Shared::State::kFailed || shared_->failure.empty()) return std::nullopt;
  return std::exchange(shared_->failure, {});
}

std::shared_ptr<const StreamWork> NcclThread::post(std::vector<DeviceEvent> after, Call call) {
  const std::shared_ptr<StreamWork> work = shared_->device->expect();
  std::exception_ptr closed;
  {
    const std::scoped_lock lock(shared_->mutex);
    closed = shared_->closed;
    if (!closed) shared_->posted.push_back({std::move(after), std::move(call), work});
  }
  if (closed) {
    shared_->drop(*work, closed);
  } else {
    shared_->raise();
  }
  return work;
}

void NcclThread::leave() noexcept {
  shared_->is_left = true;
  shared_->raise();
}

void NcclThread::Shared::work(const std::function<void(const Found&)>& tell) {
  look(tell);
  if (state == State::kFailed) return;
  if (const auto unique_id = await_id()) {
    come_together(*unique_id);
    if (state == State::kReady) serve();
  }
  clear();
}

void NcclThread::Shared::look(const std::function<void(const Found&)>& tell) {
  Found found;
  try {
    device->adopt_thread();
    library.emplace(choice.chosen, choice.candidates);
    if (place.rank == 0) found.id = NcclCommunicator::make_id(*library);
    found.version = library->version();
  } catch (const std::exception& error) {
    // Who has named none may have none.
    note_failure(choice.chosen.empty() && !library ? "" : error.what());
  }
  tell(found);
}

/// None where nobody wants it any more.
std::optional<nccl::UniqueId> NcclThread::Shared::await_id() {
  for (;;) {
    const uint32_t seen = news;
    if (is_left) return std::nullopt;
    {
      const std::scoped_lock lock(mutex);
      if (id) return id;
    }
    futex_wait(news, seen, kNever);
  }
}

void NcclThread::Shared::come_together(const nccl::UniqueId& unique_id) {
  try {
    stream = device->make_stream();
    room = device->lend_shareable(room_bytes);
    communicator = std::make_unique<NcclCommunicator>(*library, unique_id, place);
    const Deadline deadline = Clock::now() + kComeTogether;
    settle(deadline, [this] { return communicator->is_ready(); });
    // NCCL connects its ranks at their first call.
    const MutableByteSpan bytes{room.get(), size_bytes(Dtype::kFloat32)};
    communicator->allreduce(bytes, bytes, Dtype::kFloat32, ReduceOp::kMax,
                            {stream.get(), deadline, &is_left});
    const std::shared_ptr<StreamWork> first = device->expect();
    last = first;
    device->watch(first, stream.get(), nullptr);
    settle(deadline, [&] { return first->is_done(); });
    communicator->is_ready();
    state = State::kReady;
  } catch (const std::exception& error) {
    if (communicator) communicator->abort();
    note_failure(error.what());
  }
}

/// Throws Error where others do not come in time, or nobody wants it any more.
void NcclThread::Shared::settle(Deadline deadline, const std::function<bool()>& is_done) const {
  while (!is_done()) {
    if (is_left) throw Error("[nccl] the group was closed.");
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
void NcclThread::Shared::serve() {
  try {
    for (;;) {
      const uint32_t seen = news;
      if (is_left) return;
      if (std::optional<Posted> next = take()) {
        perform(*next);
        continue;
      }
      futex_wait(news, seen, is_at_work() ? Clock::now() + kBetweenChecks : kNever);
      if (is_at_work()) communicator->is_ready();
    }
  } catch (const std::exception&) {
    fail(std::current_exception());
  }
}

std::optional<NcclThread::Shared::Posted> NcclThread::Shared::take() {
  const std::scoped_lock lock(mutex);
  if (posted.empty()) return std::nullopt;
  Posted next = std::move(posted.front());
  posted.pop_front();
  return next;
}

void NcclThread::Shared::perform(Posted& one) {
  last = one.work;
  for (const DeviceEvent& event : one.after) {
    device->require(device->api().wait_event(stream.get(), event.get()),
                    "an event cannot be waited for");
  }
  const NcclCommunicator::Turn turn{stream.get(), kNever, &is_left};
  DeviceEvent passed = one.call({*communicator, turn, {room.get(), room_bytes}});
  device->watch(one.work, stream.get(), std::move(passed));
}

/// What is at work is told first, and over later: its caller's arrays are in use until its stream
/// is past it.
void NcclThread::Shared::fail(const std::exception_ptr& error) {
  const bool is_put = last->is_put();
  last->note_failed(error);
  device->ring();
  close_for(error);
  communicator->abort();
  if (is_put) return;
  try {
    device->watch_rest(last, stream.get());
  } catch (const std::exception&) {
    // The first one has been told, and it will never be over.
  }
}

/// Nothing is taken from now on.
void NcclThread::Shared::close_for(const std::exception_ptr& error) {
  std::deque<Posted> left;
  {
    const std::scoped_lock lock(mutex);
    if (!closed) closed = error;
    left.swap(posted);
  }
  for (const Posted& one : left) drop(*one.work, error);
}

void NcclThread::Shared::drop(StreamWork& work, const std::exception_ptr& error) const {
  work.note_failed(error);
  device->drop(work);
}

/// To give back what a stream that stands still may yet use would wait for it.
void NcclThread::Shared::clear() noexcept {
  close_for(std::make_exception_ptr(Error("[nccl] the group was closed.")));
  if (communicator && is_at_work()) communicator->abort();
  communicator.reset();
  if (!last || device->wait(*last, Clock::now() + kRunsOut)) return;
  forget(std::move(stream));
  forget(std::move(room));
}

void NcclThread::Shared::note_failure(std::string why) {
  failure = std::move(why);
  state = State::kFailed;
}

}  // namespace ringsync
