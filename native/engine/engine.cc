#include "engine/engine.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/forget.h"
#include "base/signals.h"
#include "base/tell.h"
#include "collective/registry.h"
#include "engine/failures.h"
#include "engine/patience.h"

namespace ringsync {
namespace {

/// How long, and for how many, the engine's thread lets a caller submit one operation after another
/// before it announces them together: one more round with the peers costs 30 to 50 us. 1000 of 1
/// KiB on 2 ranks: 4.0 -> 2.6 ms; 1 ms is no better.
constexpr auto kSettle = std::chrono::microseconds(200);
constexpr size_t kFewestQueued = 2;
constexpr size_t kMostQueued = 256;  // as many as an announcement carries

/// While one group moves, others are asked this often whether they have to give up: late by less
/// than anybody notices, and a hundredth of a percent of the time.
constexpr auto kQuestionPeriod = std::chrono::milliseconds(10);

EngineConfig checked(EngineConfig config, int rank, int size) {
  if (size < 1 || rank < 0 || rank >= size) {
    throw ConfigError("[engine] rank " + std::to_string(rank) + " of " + std::to_string(size) +
                      " is none; 0 <= rank < size is expected. Correct the caller.");
  }
  if (!config.algorithm.empty()) algorithm_named(config.algorithm);  // throws for an unknown one
  return config;
}

}  // namespace

Engine::Engine(EngineConfig config, std::unique_ptr<Transport> transport, int rank, int size,
               Deadline deadline)
    : config_(checked(std::move(config), rank, size)),
      rank_(rank),
      size_(size),
      pid_(::getpid()),
      transport_(std::move(transport)),
      serving_(config_.device_plugin, *transport_, rank, config_.kept_memory),
      queue_(rank, size),
      home_{size,
            *transport_,
            events_,
            config_.algorithm,
            reach_from_,
            config_.stall_limits,
            config_.nccl,
            &tell,  // at once: the interpreter may be what stands still
            [this](const Request& request) { queue_.forget_name(request); },
            [this](const Group* only, const std::exception_ptr& error) { fail(only, error); },
            is_exposed_},
      world_(std::make_shared<Group>(connect_world(*transport_, rank, size, deadline), home_)) {
  std::vector<std::shared_ptr<Group>> pairs;
  for (Members& members : connect_pairs(*transport_, rank, size, deadline)) {
    const bool is_one = !members.ranks.empty();
    pairs.push_back(is_one ? std::make_shared<Group>(std::move(members), home_) : nullptr);
  }
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (pairs[i]) pairs[i]->set_way_back(*pairs[i ^ 1]);
  }
  queue_.set_first_groups(world_, std::move(pairs));
  thread_ = std::thread([this] { serve(); });
}

Engine::~Engine() {
  shutdown("its engine was released");
  // A forked child has no such thread, and whatever is done to one that is not there fails.
  if (thread_.joinable()) forget(std::move(thread_));
}

std::shared_ptr<Handle> Engine::submit(Request&& request) {
  serving_.serve(request);
  // Another group may be free whatever the world is doing.
  const bool is_to_world = request.group == kWorld && request.peer == kAllRanks && !request.place;
  const Deadline deadline = is_to_world ? request.deadline : Deadline::min();
  std::shared_ptr<Handle> handle = queue_.add(std::move(request));
  wake_for(deadline);
  return handle;
}

std::shared_ptr<Handle> Engine::submit_all(std::vector<Request> requests) {
  for (Request& request : requests) serving_.serve(request);
  std::shared_ptr<Handle> handle = queue_.add_all(std::move(requests));
  wake();
  return handle;
}

std::shared_ptr<Handle> Engine::call(Request&& request) {
  serving_.serve(request);
  std::shared_ptr<Handle> handle = queue_.add(std::move(request));
  work_for(*handle);
  return handle;
}

std::shared_ptr<Handle> Engine::call_all(std::vector<Request> requests) {
  for (Request& request : requests) serving_.serve(request);
  std::shared_ptr<Handle> handle = queue_.add_all(std::move(requests));
  work_for(*handle);
  return handle;
}

void Engine::shutdown(const std::string& cause) noexcept {
  if (::getpid() != pid_) return;
  if (!queue_.stop()) return;
  wake();
  thread_.join();
  const std::scoped_lock turn(turn_);  // a calling thread may still be writing to peers
  transport_->leave(cause, nullptr);
  fail(nullptr, shut_down_error(cause));
  end_retired();
  serving_.close();
}

void Engine::say_last_words(const std::string& words) noexcept {
  if (::getpid() == pid_) transport_->testimony().say_last_words(words);
}

std::unique_ptr<Offer> Engine::offer_group(const std::string& name, const std::vector<int>& ranks) {
  return ringsync::offer_group(*transport_, name, ranks, rank_, size_);
}

size_t Engine::add_group(Offer& offer, const std::vector<int>& ranks) {
  end_retired();
  return queue_.add_group(
      std::make_shared<Group>(connect_group(offer, ranks, rank_, Clock::now()), home_));
}

void Engine::close_group(size_t number) {
  queue_.remove_group(number)->close();
  end_retired();
}

void Engine::wake() {
  if (is_wanted_.exchange(1) == 0) futex_wake_all(is_wanted_);
  transport_->waiter().ring();
}

void Engine::wake_for(Deadline deadline) {
  const Deadline until = sleeps_until_.load();
  if (until == kNever || deadline < until) wake();
}

/// Does the engine's work on the calling thread until `until` is done, if the turn is free.
void Engine::work_for(const Handle& until) {
  bool is_left_over = true;
  if (std::unique_lock turn(turn_, std::try_to_lock); turn.owns_lock()) {
    drive(&until, config_.caller_spin_us);
    is_left_over = !busy_.empty();
  }
  // Whatever was submitted meanwhile, or was interrupted, is the engine thread's.
  if (is_left_over || queue_.has_any()) wake();
}

void Engine::serve() {
  block_signals();
  bool has_device = false;
  while (!queue_.is_stopping()) {
    if (is_wanted_.exchange(0) == 0) {
      futex_wait(is_wanted_, 0, kNever);  // the only wait without a deadline: there is no work
      continue;
    }
    if (!has_device) has_device = serving_.adopt_thread();
    const std::scoped_lock turn(turn_);
    while (!queue_.is_stopping() && !drive(nullptr, config_.engine_spin_us)) {
    }
  }
}

/// With the turn held: works until nothing is in flight, `until` is done or the engine stops
/// (true), or a signal arrives (false). What goes wrong here ends all groups and is told by their
/// handles.
bool Engine::drive(const Handle* until, double spin_us) noexcept {
  try {
    return drive_on(until, spin_us);
  } catch (const std::exception& error) {
    sleeps_until_ = kNever;
    transport_->waiter().cancel();
    transport_->leave(error.what(), nullptr);
    fail(nullptr, std::current_exception());
    taken_.clear();
    busy_.clear();
    return true;
  }
}

/// What holds while the engine's thread sleeps, as sleeps_until_ says it.
Deadline Engine::world_sleeps_until() const {
  if (!world_->is_busy() || world_->is_asking()) return kNever;
  // Without an end it is not never, which means that the engine is awake.
  return std::min(world_->first_deadline(), kNever - Clock::duration(1));
}

bool Engine::drive_on(const Handle* until, double spin_us) {
  Waiter& waiter = transport_->waiter();
  Patience patience(spin_us);
  while (!queue_.is_stopping()) {
    if (until == nullptr && busy_.empty()) settle();
    Progress progress = advance();
    if (progress == Progress::kDone || (until != nullptr && until->is_done())) return true;
    if (progress == Progress::kMoved) {
      patience.renew();
      ask_others();
      continue;
    }
    if (patience.is_left()) continue;
    waiter.prepare();
    sleeps_until_ = world_sleeps_until();
    progress = advance();
    if (progress != Progress::kBlocked || queue_.is_stopping() || give_up()) {
      sleeps_until_ = kNever;
      waiter.cancel();
      continue;
    }
    const Deadline check = until == nullptr ? kNever : next_signal_check();
    const bool is_rung = waiter.sleep(std::min(deadline(), check));
    sleeps_until_ = kNever;
    if (!is_rung || Clock::now() >= check) return false;
    patience.renew();
  }
  return true;
}

/// Lets a caller that is submitting one operation after another go on, so that they travel
/// together.
void Engine::settle() {
  size_t seen = queue_.count();
  // One alone may be all that comes, unless another one is usually first.
  if (seen < (world_->is_waiting() ? 1 : kFewestQueued)) return;
  const Deadline limit = Clock::now() + kSettle;
  while (seen < kMostQueued && Clock::now() < limit) {
    ::sched_yield();
    const size_t count = queue_.count();
    if (count == seen) return;
    seen = count;
  }
}

Progress Engine::advance() {
  // Looked at in every turn, so without the lock: what is missed now is seen in the next turn.
  if (queue_.has_any()) queue_.take(taken_);
  push_taken();
  for (const RequestQueue::Queued& item : taken_) {
    if (!item.group->is_idle() && !std::ranges::count(busy_, item.group)) {
      busy_.push_back(item.group);
    }
  }
  taken_.clear();
  Progress progress = Progress::kDone;
  for (const auto& group : busy_) {
    const Progress one = group->advance();
    if (progress == Progress::kDone || one == Progress::kMoved) progress = one;
  }
  retire_idle();
  return progress;
}

void Engine::retire_idle() {
  std::erase_if(busy_, [this](auto& group) {
    if (!group->is_idle()) return false;
    if (group.use_count() == 1) {
      group->leave_nccl();
      const std::scoped_lock lock(retired_mutex_);
      retired_.push_back(std::move(group));
    }
    return true;
  });
}

/// By whoever closes or makes one.
void Engine::end_retired() {
  std::vector<std::shared_ptr<Group>> retired;
  const std::scoped_lock lock(retired_mutex_);
  retired.swap(retired_);
}

/// One group moves all the time, and no other one would be asked whether it has to give up.
void Engine::ask_others() {
  if (busy_.size() < 2) return;
  const Deadline now = Clock::now();
  if (now < ask_at_) return;
  ask_at_ = now + kQuestionPeriod;
  give_up();
}

/// What it has not come to when something goes wrong fails with the rest.
void Engine::push_taken() {
  for (RequestQueue::Queued& item : taken_) {
    if (item.handle) item.group->push(std::move(item.request), item.handle);
  }
}

bool Engine::give_up() {
  // The first to give up ends them all.
  return std::ranges::any_of(busy_, [](const auto& group) { return group->give_up(); });
}

Deadline Engine::deadline() const {
  Deadline first = kNever;
  for (const auto& group : busy_) first = std::min(first, group->deadline());
  return first;
}

}  // namespace ringsync
