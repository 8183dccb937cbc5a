// NCCL's symbols on memory and streams of the simulated device, for tests: values, order, and the
// ways in which NCCL fails. Messages are sent in groups, of one communicator each.

#include <algorithm>
#include <atomic>
#include <memory>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "device/nccl_abi.h"
#include "faults.h"
#include "meeting.h"
#include "rank.h"
#include "values.h"

namespace fake_nccl {
namespace {

/// As many as NCCL has channels.
constexpr int kMostCtas = 64;

using Bytes = std::vector<std::byte>;
/// What all ranks have given, by rank.
using Given = std::vector<Bytes>;

struct Group {
  Result error = kSuccess;
  Comm* comm = nullptr;
  Stream stream = nullptr;
  std::vector<Message> messages;
};

thread_local Group group;
std::atomic<const char*> last_error = "";

Result refuse(Result result, const char* why) {
  last_error = why;
  return result;
}

std::span<std::byte> span_of(const void* memory, size_t bytes) {
  return {static_cast<std::byte*>(const_cast<void*>(memory)), bytes};
}

/// Every rank's `given` to every rank; false where it is given up.
bool gather(Rank& rank, std::span<std::byte> given, Given& all) {
  all.assign(static_cast<size_t>(rank.size), Bytes(given.size()));
  std::vector<Message> messages;
  for (int peer = 0; peer < rank.size; ++peer) {
    messages.push_back({peer, true, given});
    messages.push_back({peer, false, all[static_cast<size_t>(peer)]});
  }
  return rank.meeting->exchange(messages, rank.is_aborted);
}

/// Gathers, and then makes the result of what all have given.
template <typename Make>
Result collect(Comm* comm, Kind kind, std::span<std::byte> given, Stream stream, const Make& make) {
  if (look_at(*comm->rank) != kSuccess) {
    return refuse(kInvalidArgument, "the communicator is not ready");
  }
  return submit(
      comm->rank, kind,
      [given, make](Rank& rank) {
        Given all;
        if (!gather(rank, given, all)) return false;
        make(rank, all);
        return true;
      },
      stream);
}

Result end_group() {
  Group ended = std::exchange(group, {});
  if (ended.error != kSuccess) return ended.error;
  if (ended.messages.empty()) return kSuccess;
  return submit(
      ended.comm->rank, kMessages,
      [messages = std::move(ended.messages)](Rank& rank) mutable {
        return rank.meeting->exchange(messages, rank.is_aborted);
      },
      ended.stream);
}

Result add_message(Message message, Comm* comm, Stream stream) {
  if (message.peer < 0 || message.peer >= comm->rank->size) {
    return group.error = refuse(kInvalidArgument, "there is no such peer");
  }
  group.comm = comm;
  group.stream = stream;
  group.messages.push_back(message);
  return kSuccess;
}

Result begin(Comm** comm, int size, const UniqueId& id, int rank, bool is_blocking) {
  if (rank < 0 || rank >= size || size > kMostRanks) {
    return refuse(kInvalidArgument, "there is no such rank");
  }
  auto joining = std::make_shared<Rank>();
  joining->meeting = Meeting::join(id, rank);
  if (joining->meeting == nullptr) return refuse(kSystemError, "the id's maker has gone");
  joining->rank = rank;
  joining->size = size;
  joining->is_blocking = is_blocking;
  *comm = new Comm{joining, std::thread([joining] { join(*joining); })};
  return result_of(*joining);
}

}  // namespace
}  // namespace fake_nccl

using namespace fake_nccl;

#pragma GCC visibility push(default)
extern "C" {

Result ncclGetVersion(int* version) {
  *version = number_of("version", version_of(2, 27, 3));
  return kSuccess;
}

Result ncclGetUniqueId(UniqueId* id) {
  if (fault("id") == "fail") return refuse(kSystemError, "there is no network");
  return Meeting::make_id(*id) ? kSuccess : kSystemError;
}

const char* ncclGetErrorString(Result result) {
  switch (result) {
    case kSuccess:
      return "no error";
    case kUnhandledCudaError:
      return "unhandled cuda error";
    case kSystemError:
      return "unhandled system error";
    case kInternalError:
      return "internal error";
    case kInvalidArgument:
      return "invalid argument";
    case kInvalidUsage:
      return "invalid usage";
    case kRemoteError:
      return "remote process exited or there was a network error";
    case kInProgress:
      return "NCCL operation in progress";
  }
  return "unknown result code";
}

const char* ncclGetLastError(Comm*) { return last_error; }

Result ncclCommInitRankConfig(Comm** comm, int size, UniqueId id, int rank, Config* config) {
  const Config wanted;
  if (config->magic != wanted.magic || config->size != wanted.size || config->blocking != 0) {
    return refuse(kInvalidArgument, "the configuration is none");
  }
  if (config->maxCTAs > kMostCtas) return refuse(kInvalidArgument, "maxCTAs is above 64");
  if (std::max(config->maxCTAs, 0) != number_of("ctas", std::max(config->maxCTAs, 0))) {
    return refuse(kInvalidArgument, "maxCTAs is another one");
  }
  return begin(comm, size, id, rank, false);
}

/// So do those make communicators whose calls wait, CuPy for one.
Result ncclCommInitRank(Comm** comm, int size, UniqueId id, int rank) {
  return begin(comm, size, id, rank, true);
}

Result ncclCommCount(Comm* comm, int* size) {
  *size = comm->rank->size;
  return kSuccess;
}

Result ncclCommUserRank(Comm* comm, int* rank) {
  *rank = comm->rank->rank;
  return kSuccess;
}

Result ncclCommCuDevice(Comm*, int* device) {
  *device = number_of("device", 0);
  return kSuccess;
}

Result ncclCommGetAsyncError(Comm* comm, Result* error) {
  *error = look_at(*comm->rank);
  return kSuccess;
}

Result ncclCommFinalize(Comm* comm) {
  comm->rank->is_ending = true;
  return kInProgress;
}

Result ncclCommDestroy(Comm* comm) {
  comm->joining.join();
  delete comm;
  return kSuccess;
}

Result ncclCommAbort(Comm* comm) {
  comm->rank->is_aborted = true;
  return ncclCommDestroy(comm);
}

Result ncclAllReduce(const void* from, void* to, size_t count, DataType type, RedOp op, Comm* comm,
                     Stream stream) {
  const auto result = span_of(to, count * bytes_of(type));
  return collect(comm, kSums, span_of(from, result.size()), stream,
                 [=](Rank&, const Given& all) { reduce(type, op, all, 0, result); });
}

Result ncclReduceScatter(const void* from, void* to, size_t each, DataType type, RedOp op,
                         Comm* comm, Stream stream) {
  const auto result = span_of(to, each * bytes_of(type));
  const auto size = static_cast<size_t>(comm->rank->size);
  return collect(comm, kParts, span_of(from, result.size() * size), stream,
                 [=](Rank& rank, const Given& all) {
                   const auto part = static_cast<size_t>(rank.rank) * result.size();
                   reduce(type, op, all, part, result);
                 });
}

Result ncclAllGather(const void* from, void* to, size_t each, DataType type, Comm* comm,
                     Stream stream) {
  return collect(comm, kGathering, span_of(from, each * bytes_of(type)), stream,
                 [to](Rank&, const Given& all) {
                   auto* next = static_cast<std::byte*>(to);
                   for (const Bytes& part : all) next = std::copy(part.begin(), part.end(), next);
                 });
}

Result ncclBroadcast(const void* from, void* to, size_t count, DataType type, int root, Comm* comm,
                     Stream stream) {
  const bool is_root = comm->rank->rank == root;
  // What other ranks have there need not be readable.
  return collect(comm, kRoots, span_of(is_root ? from : to, count * bytes_of(type)), stream,
                 [to, root](Rank&, const Given& all) {
                   const Bytes& given = all[static_cast<size_t>(root)];
                   std::copy(given.begin(), given.end(), static_cast<std::byte*>(to));
                 });
}

Result ncclSend(const void* from, size_t count, DataType type, int peer, Comm* comm,
                Stream stream) {
  return add_message({peer, true, span_of(from, count * bytes_of(type))}, comm, stream);
}

Result ncclRecv(void* to, size_t count, DataType type, int peer, Comm* comm, Stream stream) {
  return add_message({peer, false, span_of(to, count * bytes_of(type))}, comm, stream);
}

Result ncclGroupStart() { return kSuccess; }

Result ncclGroupEnd() { return end_group(); }

Result ncclMemAlloc(void** memory, size_t bytes) {
  if (fault("memory") == "fail") return refuse(kUnhandledCudaError, "out of memory");
  return device_api().allocate(bytes, memory) == 0 ? kSuccess : kUnhandledCudaError;
}

Result ncclMemFree(void* memory) {
  return device_api().release(memory) == 0 ? kSuccess : kUnhandledCudaError;
}

/// Until all have registered theirs.
Result ncclCommWindowRegister(Comm* comm, void* memory, size_t, Window** window, int flags) {
  if (fault("window") == "fail" || flags != kSymmetricWindow) {
    return refuse(kInvalidUsage, "the memory cannot be registered");
  }
  *window = static_cast<Window*>(memory);
  ++comm->rank->windows;
  connect(*comm->rank, kWindows);
  return kInProgress;
}

Result ncclCommWindowDeregister(Comm* comm, Window*) {
  --comm->rank->windows;
  return kSuccess;
}

// They are there, and are not called by anybody.
Result ncclCommSplit() { return kInvalidUsage; }
Result ncclCommRegister() { return kInvalidUsage; }

}  // extern "C"
#pragma GCC visibility pop
