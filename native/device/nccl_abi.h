#pragma once

// What is used of NCCL's C ABI, in our own words, so that nothing of NCCL is needed to build. Names
// of fields are NCCL's own; tests/gpu/nccl_layout.cc lays all of it beside the real header.

#include <climits>
#include <cstddef>
#include <type_traits>

namespace ringsync::nccl {

/// As NCCL writes versions since 2.9: 2.27.3 is 22703.
constexpr int version_of(int major, int minor, int patch) {
  return major * 10000 + minor * 100 + patch;
}

/// Names a communicator before it exists; one rank makes it, all others are told.
struct UniqueId {
  char internal[128];
};

/// A communicator, of which only NCCL knows more.
struct Comm;

/// Memory of all ranks of a communicator that they have registered as one, likewise.
struct Window;

/// A CUDA stream, of which only the device's plug-in knows more.
using Stream = void*;

enum Result : int {
  kSuccess = 0,
  kUnhandledCudaError = 1,
  kSystemError = 2,
  kInternalError = 3,
  kInvalidArgument = 4,
  kInvalidUsage = 5,
  kRemoteError = 6,
  kInProgress = 7,
};

enum DataType : int {
  kInt8 = 0,
  kUint8 = 1,
  kInt32 = 2,
  kInt64 = 4,
  kFloat16 = 6,
  kFloat32 = 7,
  kFloat64 = 8,
  kBfloat16 = 9,
};

enum RedOp : int { kSum = 0, kProd = 1, kMax = 2, kMin = 3, kAvg = 4 };

/// A window lies alike on all ranks.
inline constexpr int kSymmetricWindow = 1;

/// Leaves a field to NCCL.
inline constexpr int kUndefined = INT_MIN;

/// As of 2.27. It only ever grows, and a library reads as much of it as it knows: `size` and
/// `version` tell an older or a newer one what is there.
struct Config {
  size_t size = sizeof(Config);
  unsigned int magic = 0xcafebeef;
  unsigned int version = version_of(2, 27, 0);
  int blocking = kUndefined;
  int cgaClusterSize = kUndefined;
  int minCTAs = kUndefined;
  int maxCTAs = kUndefined;
  const char* netName = nullptr;
  int splitShare = kUndefined;
  int trafficClass = kUndefined;
  const char* commName = nullptr;
  int collnetEnable = kUndefined;
  int CTAPolicy = kUndefined;
  int shrinkShare = kUndefined;
  int nvlsCTAs = kUndefined;
};

static_assert(sizeof(UniqueId) == 128 && std::is_trivially_copyable_v<UniqueId>);
static_assert(sizeof(Result) == sizeof(int) && sizeof(DataType) == sizeof(int));
static_assert(sizeof(RedOp) == sizeof(int));
static_assert(offsetof(Config, magic) == 8 && offsetof(Config, blocking) == 16);
static_assert(offsetof(Config, maxCTAs) == 28 && offsetof(Config, netName) == 32);
static_assert(offsetof(Config, commName) == 48 && offsetof(Config, nvlsCTAs) == 68);
static_assert(sizeof(Config) == 72);

using GetVersion = Result(int* version);
using GetUniqueId = Result(UniqueId* id);
using GetErrorString = const char*(Result result);
using GetLastError = const char*(Comm* comm);
using CommInitRankConfig = Result(Comm** comm, int size, UniqueId id, int rank, Config* config);
using CommGetAsyncError = Result(Comm* comm, Result* error);
using CommCount = Result(Comm* comm, int* size);
using CommUserRank = Result(Comm* comm, int* rank);
using CommCuDevice = Result(Comm* comm, int* device);
using CommFinalize = Result(Comm* comm);
using CommDestroy = Result(Comm* comm);
using CommAbort = Result(Comm* comm);
using AllReduce = Result(const void* from, void* to, size_t count, DataType type, RedOp op,
                         Comm* comm, Stream stream);
using ReduceScatter = Result(const void* from, void* to, size_t each, DataType type, RedOp op,
                             Comm* comm, Stream stream);
using AllGather = Result(const void* from, void* to, size_t each, DataType type, Comm* comm,
                         Stream stream);
using Broadcast = Result(const void* from, void* to, size_t count, DataType type, int root,
                         Comm* comm, Stream stream);
using Send = Result(const void* from, size_t count, DataType type, int peer, Comm* comm,
                    Stream stream);
using Recv = Result(void* to, size_t count, DataType type, int peer, Comm* comm, Stream stream);
using MemAlloc = Result(void** memory, size_t bytes);
using MemFree = Result(void* memory);
using CommWindowRegister = Result(Comm* comm, void* memory, size_t bytes, Window** window,
                                  int flags);
using CommWindowDeregister = Result(Comm* comm, Window* window);
using GroupStart = Result();
using GroupEnd = Result();

}  // namespace ringsync::nccl
