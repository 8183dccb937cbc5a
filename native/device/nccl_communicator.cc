#include "device/nccl_communicator.h"

#include <unistd.h>

#include <string>
#include <thread>
#include <utility>

#include "base/error.h"

namespace ringsync {
namespace {

/// NCCL has nothing to wait on. It puts each call on its stream by a thread that it makes for it
/// (src/group.cc), which takes some tens of microseconds: so long it is looked at without a pause.
constexpr auto kEager = std::chrono::microseconds(200);
/// What takes longer makes connections, in milliseconds.
constexpr auto kBetweenLooks = std::chrono::microseconds(50);

/// As long as a device waits for what is on its way when it is closed. Whoever ends well has waited
/// for his streams before, and this then takes milliseconds.
constexpr auto kFarewell = std::chrono::seconds(1);

/// None of NCCL's own.
constexpr auto kAborted = static_cast<nccl::Result>(-1);

constexpr const char* kSeeMore =
    ". Set NCCL_DEBUG=WARN to see more, and read the other ranks' logs.";

nccl::DataType nccl_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::kUint8:
      return nccl::kUint8;
    case Dtype::kInt8:
      return nccl::kInt8;
    case Dtype::kInt32:
      return nccl::kInt32;
    case Dtype::kInt64:
      return nccl::kInt64;
    case Dtype::kFloat16:
      return nccl::kFloat16;
    case Dtype::kBfloat16:
      return nccl::kBfloat16;
    case Dtype::kFloat32:
      return nccl::kFloat32;
    case Dtype::kFloat64:
      return nccl::kFloat64;
    case Dtype::kInt16:
    case Dtype::kBool:
      break;
  }
  throw Error("[nccl] there is no sum of " + std::string(name(dtype)) +
              " in NCCL. Let it go another way.");
}

nccl::RedOp nccl_op(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return nccl::kSum;
    case ReduceOp::kMin:
      return nccl::kMin;
    case ReduceOp::kMax:
      return nccl::kMax;
    case ReduceOp::kProduct:
      return nccl::kProd;
    case ReduceOp::kAverage:
      return nccl::kAvg;
    case ReduceOp::kAdasum:
      break;
  }
  throw Error("[nccl] Adasum is no sum of NCCL's. Ask for another.");
}

bool is_failure(nccl::Result result) {
  return result != nccl::kSuccess && result != nccl::kInProgress;
}

}  // namespace

bool has_nccl_type(Dtype dtype) { return dtype != Dtype::kInt16 && dtype != Dtype::kBool; }

NcclStanding standing_of(const NcclLibrary& library, nccl::Comm* communicator) {
  NcclStanding found;
  const NcclLibrary::Api& api = library.api();
  for (const auto& [call, value] :
       {std::pair{api.user_rank, &found.rank}, std::pair{api.count, &found.size},
        std::pair{api.cu_device, &found.device}}) {
    const nccl::Result result = call(communicator, value);
    if (result == nccl::kSuccess) continue;
    throw Error("[nccl] a communicator does not say where it stands: " + library.describe(result) +
                kSeeMore);
  }
  return found;
}

nccl::UniqueId NcclCommunicator::make_id(const NcclLibrary& library) {
  nccl::UniqueId id{};
  const nccl::Result result = library.api().get_unique_id(&id);
  if (result != nccl::kSuccess) {
    throw Error("[nccl] no id can be made: " + library.describe(result) + kSeeMore);
  }
  return id;
}

NcclCommunicator::NcclCommunicator(NcclLibrary library, const nccl::UniqueId& id, Place place)
    : library_(std::move(library)),
      api_(library_.api()),
      place_(std::move(place)),
      pid_(::getpid()),
      is_adopted_(false) {
  nccl::Config config;
  config.blocking = 0;
  if (place_.max_ctas > 0) config.maxCTAs = place_.max_ctas;
  const nccl::Result result = api_.init_rank(&comm_, place_.size, id, place_.rank, &config);
  if (is_failure(result)) {
    abort();
    fail("joining", result);
  }
}

NcclCommunicator::NcclCommunicator(NcclLibrary library, nccl::Comm* adopted, Place place)
    : library_(std::move(library)),
      api_(library_.api()),
      place_(std::move(place)),
      pid_(::getpid()),
      is_adopted_(true),
      comm_(adopted) {}

NcclCommunicator::~NcclCommunicator() {
  if (comm_ == nullptr || is_adopted_ || ::getpid() != pid_) return;
  if (window_ != nullptr && state() == nccl::kSuccess) api_.window_deregister(comm_, window_);
  if (state() != nccl::kSuccess ||
      settle(api_.finalize(comm_), {.deadline = Clock::now() + kFarewell}) != nccl::kSuccess) {
    abort();
    return;
  }
  api_.destroy(comm_);
}

void NcclCommunicator::share(MutableByteSpan memory, const Turn& turn) {
  put("sharing memory", turn, [&] {
    return api_.window_register(comm_, memory.data(), memory.size(), &window_,
                                nccl::kSymmetricWindow);
  });
}

bool NcclCommunicator::is_ready() {
  const nccl::Result result = state();
  if (is_failure(result)) fail("its work", result);
  return result == nccl::kSuccess;
}

void NcclCommunicator::abort() noexcept {
  const std::scoped_lock lock(mutex_);
  nccl::Comm* const comm = std::exchange(comm_, nullptr);
  if (comm != nullptr && !is_adopted_) api_.abort(comm);
}

void NcclCommunicator::allreduce(ByteSpan from, MutableByteSpan to, Dtype dtype, ReduceOp op,
                                 const Turn& turn) {
  const nccl::DataType type = nccl_type(dtype);
  const nccl::RedOp reduction = nccl_op(op);
  put("allreduce", turn, [&] {
    return api_.allreduce(from.data(), to.data(), to.size() / size_bytes(dtype), type, reduction,
                          comm_, turn.stream);
  });
}

void NcclCommunicator::reduce_scatter(ByteSpan from, MutableByteSpan to, Dtype dtype, ReduceOp op,
                                      const Turn& turn) {
  const nccl::DataType type = nccl_type(dtype);
  const nccl::RedOp reduction = nccl_op(op);
  put("reduce_scatter", turn, [&] {
    return api_.reduce_scatter(from.data(), to.data(), to.size() / size_bytes(dtype), type,
                               reduction, comm_, turn.stream);
  });
}

void NcclCommunicator::allgather(ByteSpan from, MutableByteSpan to, const Turn& turn) {
  put("allgather", turn, [&] {
    return api_.allgather(from.data(), to.data(), from.size(), nccl::kUint8, comm_, turn.stream);
  });
}

void NcclCommunicator::broadcast(ByteSpan from, MutableByteSpan to, int root, const Turn& turn) {
  put("broadcast", turn, [&] {
    return api_.broadcast(from.data(), to.data(), to.size(), nccl::kUint8, root, comm_,
                          turn.stream);
  });
}

void NcclCommunicator::alltoall(std::span<const ByteSpan> from, std::span<const MutableByteSpan> to,
                                const Turn& turn) {
  put("alltoall", turn, [&] {
    // What any of them refuses the end of the group tells.
    api_.group_start();
    for (size_t peer = 0; peer < from.size(); ++peer) {
      const int number = static_cast<int>(peer);
      if (!from[peer].empty()) {
        api_.send(from[peer].data(), from[peer].size(), nccl::kUint8, number, comm_, turn.stream);
      }
      if (!to[peer].empty()) {
        api_.recv(to[peer].data(), to[peer].size(), nccl::kUint8, number, comm_, turn.stream);
      }
    }
    return api_.group_end();
  });
}

/// By the turn's door.
template <typename Call>
nccl::Result NcclCommunicator::go_in(const Turn& turn, const Call& call) {
  if (turn.door == nullptr) return call();
  const NcclDoor::Visit visit(*turn.door);
  return visit.may_stay() ? call() : kAborted;
}

/// Calls NCCL, and returns once it has taken the call in.
template <typename Call>
void NcclCommunicator::put(const std::string& what, const Turn& turn, const Call& call) {
  nccl::Result result = go_in(turn, [&] {
    const std::scoped_lock lock(mutex_);
    return comm_ != nullptr ? call() : kAborted;
  });
  if (is_failure(result) && result != kAborted) {
    // One that has failed in the meantime says of each call that it is none that can be made.
    const nccl::Result earlier = go_in(turn, [&] { return state(); });
    if (is_failure(earlier)) result = earlier;
  }
  result = settle(result, turn);
  if (result == nccl::kInProgress) {
    throw TimedOutError("[nccl] " + what + " has not begun on " + who() +
                            " at its deadline. Read the other ranks' logs.",
                        {});
  }
  if (result != nccl::kSuccess) fail(what, result);
}

/// Of what has been asked of it so far.
nccl::Result NcclCommunicator::state() {
  const std::scoped_lock lock(mutex_);
  if (comm_ == nullptr) return kAborted;
  nccl::Result state = nccl::kSuccess;
  const nccl::Result result = api_.get_async_error(comm_, &state);
  return result == nccl::kSuccess ? state : result;
}

/// What has become of a call at the deadline at the latest. Between two looks another thread may
/// abort.
nccl::Result NcclCommunicator::settle(nccl::Result result, const Turn& turn) {
  const Deadline eager_until = Clock::now() + kEager;
  while (result == nccl::kInProgress && Clock::now() < turn.deadline) {
    if (Clock::now() < eager_until) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kBetweenLooks);
    }
    result = go_in(turn, [&] { return state(); });
  }
  return result;
}

void NcclCommunicator::fail(const std::string& what, nccl::Result result) const {
  const std::string words = result == kAborted
                                ? "it has been aborted. Read the first error that was told."
                                : library_.describe(result) + kSeeMore;
  throw Error("[nccl] " + what + " failed on " + who() + ": " + words);
}

std::string NcclCommunicator::who() const {
  if (!place_.who.empty()) return place_.who;
  return "rank " + std::to_string(place_.rank) + " of " + std::to_string(place_.size);
}

}  // namespace ringsync
