// Our own words for NCCL's C ABI beside NCCL's header: it compiles only if they mean the same.
// Every NCCL from 2.27 on has all of it, and may have more.

#include <nccl.h>

#include <cstddef>
#include <type_traits>

#include "device/nccl_abi.h"

namespace ours = ringsync::nccl;

/// Whether two types go through the same registers and bytes.
template <typename Ours, typename Theirs>
constexpr bool is_like =
    sizeof(Ours) == sizeof(Theirs) && std::is_pointer_v<Ours> == std::is_pointer_v<Theirs> &&
    std::is_class_v<Ours> == std::is_class_v<Theirs> &&
    std::is_floating_point_v<Ours> == std::is_floating_point_v<Theirs>;

template <typename Ours, typename Theirs>
constexpr bool is_call_like = false;
template <typename Result, typename... Arguments, typename TheirResult, typename... TheirArguments>
constexpr bool is_call_like<Result(Arguments...), TheirResult(TheirArguments...)> = [] {
  if constexpr (sizeof...(Arguments) == sizeof...(TheirArguments)) {
    return is_like<Result, TheirResult> && (is_like<Arguments, TheirArguments> && ...);
  } else {
    return false;
  }
}();

static_assert(is_call_like<ours::GetVersion, decltype(ncclGetVersion)>);
static_assert(is_call_like<ours::GetUniqueId, decltype(ncclGetUniqueId)>);
static_assert(is_call_like<ours::GetErrorString, decltype(ncclGetErrorString)>);
static_assert(is_call_like<ours::GetLastError, decltype(ncclGetLastError)>);
static_assert(is_call_like<ours::CommInitRankConfig, decltype(ncclCommInitRankConfig)>);
static_assert(is_call_like<ours::CommGetAsyncError, decltype(ncclCommGetAsyncError)>);
static_assert(is_call_like<ours::CommCount, decltype(ncclCommCount)>);
static_assert(is_call_like<ours::CommUserRank, decltype(ncclCommUserRank)>);
static_assert(is_call_like<ours::CommCuDevice, decltype(ncclCommCuDevice)>);
static_assert(is_call_like<ours::CommFinalize, decltype(ncclCommFinalize)>);
static_assert(is_call_like<ours::CommDestroy, decltype(ncclCommDestroy)>);
static_assert(is_call_like<ours::CommAbort, decltype(ncclCommAbort)>);
static_assert(is_call_like<ours::AllReduce, decltype(ncclAllReduce)>);
static_assert(is_call_like<ours::ReduceScatter, decltype(ncclReduceScatter)>);
static_assert(is_call_like<ours::AllGather, decltype(ncclAllGather)>);
static_assert(is_call_like<ours::Broadcast, decltype(ncclBroadcast)>);
static_assert(is_call_like<ours::Send, decltype(ncclSend)>);
static_assert(is_call_like<ours::Recv, decltype(ncclRecv)>);
static_assert(is_call_like<ours::MemAlloc, decltype(ncclMemAlloc)>);
static_assert(is_call_like<ours::MemFree, decltype(ncclMemFree)>);
static_assert(is_call_like<ours::CommWindowRegister, decltype(ncclCommWindowRegister)>);
static_assert(is_call_like<ours::CommWindowDeregister, decltype(ncclCommWindowDeregister)>);
static_assert(ours::kSymmetricWindow == NCCL_WIN_COLL_SYMMETRIC);
static_assert(is_call_like<ours::GroupStart, decltype(ncclGroupStart)>);
static_assert(is_call_like<ours::GroupEnd, decltype(ncclGroupEnd)>);

static_assert(sizeof(ours::UniqueId) == sizeof(ncclUniqueId));
static_assert(alignof(ours::UniqueId) == alignof(ncclUniqueId));

static_assert(int{ours::kSuccess} == ncclSuccess);
static_assert(int{ours::kUnhandledCudaError} == ncclUnhandledCudaError);
static_assert(int{ours::kSystemError} == ncclSystemError);
static_assert(int{ours::kInternalError} == ncclInternalError);
static_assert(int{ours::kInvalidArgument} == ncclInvalidArgument);
static_assert(int{ours::kInvalidUsage} == ncclInvalidUsage);
static_assert(int{ours::kRemoteError} == ncclRemoteError);
static_assert(int{ours::kInProgress} == ncclInProgress);

static_assert(int{ours::kInt8} == ncclInt8 && int{ours::kUint8} == ncclUint8);
static_assert(int{ours::kInt32} == ncclInt32 && int{ours::kInt64} == ncclInt64);
static_assert(int{ours::kFloat16} == ncclFloat16 && int{ours::kFloat32} == ncclFloat32);
static_assert(int{ours::kFloat64} == ncclFloat64 && int{ours::kBfloat16} == ncclBfloat16);

static_assert(int{ours::kSum} == ncclSum && int{ours::kProd} == ncclProd);
static_assert(int{ours::kMax} == ncclMax && int{ours::kMin} == ncclMin);

static_assert(ours::kUndefined == NCCL_CONFIG_UNDEF_INT);
// What a caller of NCCL's own begins with.
constexpr ncclConfig_t kTheirs = NCCL_CONFIG_INITIALIZER;
static_assert(ours::Config{}.magic == kTheirs.magic);
static_assert(ours::Config{}.blocking == kTheirs.blocking);
static_assert(ours::Config{}.netName == kTheirs.netName);
static_assert(ours::Config{}.version == NCCL_VERSION(2, 27, 0));
static_assert(ours::Config{}.version <= NCCL_VERSION_CODE);
static_assert(sizeof(ours::Config) <= sizeof(ncclConfig_t));
static_assert(offsetof(ours::Config, size) == offsetof(ncclConfig_t, size));
static_assert(offsetof(ours::Config, magic) == offsetof(ncclConfig_t, magic));
static_assert(offsetof(ours::Config, version) == offsetof(ncclConfig_t, version));
static_assert(offsetof(ours::Config, blocking) == offsetof(ncclConfig_t, blocking));
static_assert(offsetof(ours::Config, cgaClusterSize) == offsetof(ncclConfig_t, cgaClusterSize));
static_assert(offsetof(ours::Config, minCTAs) == offsetof(ncclConfig_t, minCTAs));
static_assert(offsetof(ours::Config, maxCTAs) == offsetof(ncclConfig_t, maxCTAs));
static_assert(offsetof(ours::Config, netName) == offsetof(ncclConfig_t, netName));
static_assert(offsetof(ours::Config, splitShare) == offsetof(ncclConfig_t, splitShare));
static_assert(offsetof(ours::Config, trafficClass) == offsetof(ncclConfig_t, trafficClass));
static_assert(offsetof(ours::Config, commName) == offsetof(ncclConfig_t, commName));
static_assert(offsetof(ours::Config, collnetEnable) == offsetof(ncclConfig_t, collnetEnable));
static_assert(offsetof(ours::Config, CTAPolicy) == offsetof(ncclConfig_t, CTAPolicy));
static_assert(offsetof(ours::Config, shrinkShare) == offsetof(ncclConfig_t, shrinkShare));
static_assert(offsetof(ours::Config, nvlsCTAs) == offsetof(ncclConfig_t, nvlsCTAs));
