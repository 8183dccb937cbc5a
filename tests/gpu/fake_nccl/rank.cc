#include "rank.h"

#include <dlfcn.h>

#include <climits>
#include <filesystem>
#include <utility>

#include "device/plugin_abi.h"
#include "faults.h"

namespace fake_nccl {
namespace {

/// So many looks each call takes, so that nobody forgets to look.
constexpr int kLooks = 2;

struct Task {
  std::shared_ptr<Rank> rank;
  std::function<bool(Rank&)> work;
};

/// It lies beside this library.
const RsDeviceApi& load_hostsim() {
  Dl_info here{};
  ::dladdr(reinterpret_cast<const void*>(&load_hostsim), &here);
  const auto path = std::filesystem::path(here.dli_fname).parent_path() / "libringsync_hostsim.so";
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  return *reinterpret_cast<decltype(&rs_device_api)>(::dlsym(library, "rs_device_api"))();
}

/// Until it is aborted; with an error, that comes once the call has been taken in.
bool hang(Rank& rank, int error) {
  if (error != kSuccess &&
      wait_until(rank.is_aborted, [&rank] { return rank.is_taken_in.load(); })) {
    rank.state = error;
  }
  return wait_until(rank.is_aborted, [] { return false; });
}

void run(void* context, RsStatus) {
  const std::unique_ptr<Task> task(static_cast<Task*>(context));
  Rank& rank = *task->rank;
  const int error = number_of("async", kSuccess);
  const bool hangs = fault("hang").has_value();
  const bool is_done = hangs ? hang(rank, error) : task->work(rank);
  if (!is_done && rank.state == kSuccess) rank.state = kRemoteError;
  if (error != kSuccess) rank.state = error;
  --rank.in_flight;
}

}  // namespace

const RsDeviceApi& device_api() {
  static const RsDeviceApi& device = load_hostsim();
  return device;
}

void connect(Rank& rank, Kind kind) {
  ++rank.meeting->connected(kind);
  rank.connecting = kind;
}

Result look_at(Rank& rank) {
  const auto state = static_cast<Result>(rank.state.load());
  if (state != kSuccess) return state;
  if (rank.looks > 0 && rank.looks-- > 0) return kInProgress;
  const int kind = rank.connecting;
  if (kind >= 0 && rank.meeting->connected(kind) < rank.size) return kInProgress;
  rank.is_taken_in = true;
  return rank.is_ending && rank.in_flight > 0 ? kInProgress : kSuccess;
}

void join(Rank& rank) {
  const bool has_come = wait_until(rank.is_aborted, [&rank] {
    return fault("init") != "hang" && rank.meeting->joined() >= rank.size;
  });
  rank.state = has_come && fault("init") != "fail" ? kSuccess : kSystemError;
}

Result result_of(Rank& rank) {
  if (!rank.is_blocking) return kInProgress;
  Result result = kInProgress;
  wait_until(rank.is_aborted, [&] { return (result = look_at(rank)) != kInProgress; });
  return result == kInProgress ? kSystemError : result;
}

Result submit(std::shared_ptr<Rank> rank, Kind kind, std::function<bool(Rank&)> work,
              Stream stream) {
  rank->looks = fault("stuck") ? INT_MAX : kLooks;
  if (!std::exchange(rank->has_called[static_cast<size_t>(kind)], true)) {
    if (fault("connect")) {
      connect(*rank, kind);
    } else {
      ++rank->meeting->connected(kind);
    }
  }
  rank->is_taken_in = false;
  ++rank->in_flight;
  auto task = std::make_unique<Task>(Task{rank, std::move(work)});
  const std::shared_ptr<Rank> called = std::move(rank);  // whoever ends the communicator meanwhile
  device_api().notify(run, task.release(), stream);
  return result_of(*called);
}

}  // namespace fake_nccl
