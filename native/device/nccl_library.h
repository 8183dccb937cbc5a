#pragma once

// Finds NCCL on this machine at run time, and what it can do. What is done with it is the
// communicator's matter.

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "device/nccl_abi.h"

namespace ringsync {

/// There is none, and nobody has named one.
class NoNccl final : public ConfigError {
 public:
  using ConfigError::ConfigError;
};

/// A loaded libnccl, which stays as long as the process runs. Copies are the same one. Any thread.
class NcclLibrary {
 public:
  /// Functions that every version from 2.18 on has.
  struct Api {
    nccl::GetVersion* get_version = nullptr;
    nccl::GetUniqueId* get_unique_id = nullptr;
    nccl::GetErrorString* get_error_string = nullptr;
    nccl::GetLastError* get_last_error = nullptr;
    nccl::CommInitRankConfig* init_rank = nullptr;
    nccl::CommGetAsyncError* get_async_error = nullptr;
    nccl::CommCount* count = nullptr;
    nccl::CommUserRank* user_rank = nullptr;
    nccl::CommCuDevice* cu_device = nullptr;
    nccl::CommFinalize* finalize = nullptr;
    nccl::CommDestroy* destroy = nullptr;
    nccl::CommAbort* abort = nullptr;
    nccl::AllReduce* allreduce = nullptr;
    nccl::ReduceScatter* reduce_scatter = nullptr;
    nccl::AllGather* allgather = nullptr;
    nccl::Broadcast* broadcast = nullptr;
    nccl::Send* send = nullptr;
    nccl::Recv* recv = nullptr;
    nccl::GroupStart* group_start = nullptr;
    nccl::GroupEnd* group_end = nullptr;

    // Later ones; null where this version has them not.
    nccl::MemAlloc* mem_alloc = nullptr;
    nccl::MemFree* mem_free = nullptr;
    nccl::CommWindowRegister* window_register = nullptr;
    nccl::CommWindowDeregister* window_deregister = nullptr;
  };

  /// Takes the one that the process has loaded already: a second copy would share nothing with it,
  /// and what one has made crashes the other. Else `chosen`, which is what RINGSYNC_NCCL_LIB says
  /// and may be empty; else the first of `candidates` that loads; else the system's. Throws
  /// NoNccl, and ConfigError where it cannot be loaded, where it is older than 2.18, and where it
  /// lacks a function.
  NcclLibrary(const std::filesystem::path& chosen,
              const std::vector<std::filesystem::path>& candidates);

  const Api& api() const { return api_; }
  /// The file that it was loaded from.
  const std::filesystem::path& path() const { return path_; }
  /// Whether it is this one that `caller` calls, a library that the process has loaded.
  bool serves(const std::filesystem::path& caller) const;
  /// As NCCL counts: 22703 is 2.27.3.
  int version() const { return version_; }
  /// What this version has beyond those functions, by name.
  const std::vector<std::string>& features() const { return features_; }
  /// Ranks can register memory of NCCL's own as one: then it reads and writes that of others where
  /// they lie, and adds 16-bit floats in 32 bits.
  bool has_windows() const {
    return api_.mem_alloc != nullptr && api_.mem_free != nullptr &&
           api_.window_register != nullptr && api_.window_deregister != nullptr;
  }
  /// Memory of the calling thread's device that can be registered. Throws Error. Only where it has
  /// windows.
  std::shared_ptr<std::byte> allocate(size_t bytes) const;
  /// A result in words, with what NCCL itself said last.
  std::string describe(nccl::Result result) const;

 private:
  template <typename Function>
  void find(const char* symbol, Function*& function) const;
  template <typename Function>
  void look_for(const char* symbol, Function*& function) const;

  void* const handle_;
  Api api_;
  std::filesystem::path path_;
  int version_ = 0;
  std::vector<std::string> features_;
};

/// "2.27.3" of 22703.
std::string nccl_version_text(int version);

}  // namespace ringsync
