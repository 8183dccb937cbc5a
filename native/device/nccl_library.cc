#include "device/nccl_library.h"

#include <dlfcn.h>
#include <link.h>
#include <unistd.h>

#include <array>

#include "base/error.h"
#include "device/dl_error.h"

namespace ringsync {
namespace {

/// Its soname; all of its packages have a file of that name.
constexpr const char* kNcclName = "libnccl.so.2";

/// The first whose communicators can be split, and whose configuration has all fields that are set
/// here; PyTorch 2.1, of 2023, came with it.
constexpr int kOldestNccl = nccl::version_of(2, 18, 0);

struct Feature {
  const char* name;
  const char* symbol;
};

/// All of it optional, in the order in which NCCL got it.
constexpr std::array kFeatures{
    Feature{"split", "ncclCommSplit"},           Feature{"memory", "ncclMemAlloc"},
    Feature{"user buffers", "ncclCommRegister"}, Feature{"windows", "ncclCommWindowRegister"},
    Feature{"shrink", "ncclCommShrink"},
};

// It stays: streams and threads of its own may still use it when the last communicator has gone.
constexpr int kHow = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE;

void* load(const std::filesystem::path& chosen,
           const std::vector<std::filesystem::path>& candidates) {
  if (void* loaded = ::dlopen(kNcclName, kHow | RTLD_NOLOAD)) return loaded;
  if (!chosen.empty()) {
    if (void* loaded = ::dlopen(chosen.c_str(), kHow)) return loaded;
    throw ConfigError("[nccl] RINGSYNC_NCCL_LIB names " + chosen.string() +
                      ", which cannot be loaded: " + dl_error_text() + ". Let it name a file " +
                      kNcclName + ", or unset it.");
  }
  std::string reasons;
  for (const auto& candidate : candidates) {
    if (void* loaded = ::dlopen(candidate.c_str(), kHow)) return loaded;
    reasons += dl_error_text() + "; ";
  }
  if (void* loaded = ::dlopen(kNcclName, kHow)) return loaded;
  const std::string words = "[nccl] no NCCL can be loaded: " + reasons + dl_error_text() +
                            ". Install it (pip install nvidia-nccl-cu13), or let "
                            "RINGSYNC_NCCL_LIB name its file.";
  if (candidates.empty()) throw NoNccl(words);
  throw ConfigError(words);
}

}  // namespace

NcclLibrary::NcclLibrary(const std::filesystem::path& chosen,
                         const std::vector<std::filesystem::path>& candidates)
    : handle_(load(chosen, candidates)) {
  link_map* loaded = nullptr;
  if (::dlinfo(handle_, RTLD_DI_LINKMAP, static_cast<void*>(&loaded)) == 0) path_ = loaded->l_name;
  find("ncclGetVersion", api_.get_version);
  // What else it lacks an old one lacks for its age, so that this is told first.
  if (api_.get_version(&version_) != nccl::kSuccess || version_ < kOldestNccl) {
    throw ConfigError("[nccl] " + path_.string() + " is version " + nccl_version_text(version_) +
                      "; " + nccl_version_text(kOldestNccl) +
                      " is the oldest that serves. Install a newer one (pip install --upgrade "
                      "nvidia-nccl-cu13), or let RINGSYNC_NCCL_LIB name its file.");
  }
  find("ncclGetUniqueId", api_.get_unique_id);
  find("ncclGetErrorString", api_.get_error_string);
  find("ncclGetLastError", api_.get_last_error);
  find("ncclCommInitRankConfig", api_.init_rank);
  find("ncclCommGetAsyncError", api_.get_async_error);
  find("ncclCommCount", api_.count);
  find("ncclCommUserRank", api_.user_rank);
  find("ncclCommCuDevice", api_.cu_device);
  find("ncclCommFinalize", api_.finalize);
  find("ncclCommDestroy", api_.destroy);
  find("ncclCommAbort", api_.abort);
  find("ncclAllReduce", api_.allreduce);
  find("ncclReduceScatter", api_.reduce_scatter);
  find("ncclAllGather", api_.allgather);
  find("ncclBroadcast", api_.broadcast);
  find("ncclSend", api_.send);
  find("ncclRecv", api_.recv);
  find("ncclGroupStart", api_.group_start);
  find("ncclGroupEnd", api_.group_end);
  look_for("ncclMemAlloc", api_.mem_alloc);
  look_for("ncclMemFree", api_.mem_free);
  look_for("ncclCommWindowRegister", api_.window_register);
  look_for("ncclCommWindowDeregister", api_.window_deregister);
  for (const Feature& feature : kFeatures) {
    if (::dlsym(handle_, feature.symbol) != nullptr) features_.emplace_back(feature.name);
  }
}

bool NcclLibrary::serves(const std::filesystem::path& caller) const {
  // A name is looked for in what it needs too, of which it has its own copy or shares ours.
  void* const loaded = ::dlopen(caller.c_str(), kHow | RTLD_NOLOAD);
  return loaded != nullptr &&
         ::dlsym(loaded, "ncclAllReduce") == reinterpret_cast<void*>(api_.allreduce);
}

std::string NcclLibrary::describe(nccl::Result result) const {
  std::string words = api_.get_error_string(result);
  // It takes no communicator into account, and says so of the one that it takes.
  const char* last = api_.get_last_error(nullptr);
  if (last != nullptr && *last != '\0') words += " (" + std::string(last) + ")";
  return words;
}

std::shared_ptr<std::byte> NcclLibrary::allocate(size_t bytes) const {
  void* memory = nullptr;
  const nccl::Result result = api_.mem_alloc(&memory, bytes);
  if (result != nccl::kSuccess) {
    throw Error("[nccl] it has no memory for " + std::to_string(bytes) +
                " bytes: " + describe(result) + ". See what else is on the device.");
  }
  return {static_cast<std::byte*>(memory),
          [release = api_.mem_free, pid = ::getpid()](std::byte* released) {
            if (::getpid() == pid) release(released);  // a forked child has no device
          }};
}

template <typename Function>
void NcclLibrary::look_for(const char* symbol, Function*& function) const {
  function = reinterpret_cast<Function*>(::dlsym(handle_, symbol));
}

template <typename Function>
void NcclLibrary::find(const char* symbol, Function*& function) const {
  look_for(symbol, function);
  if (function != nullptr) return;
  throw ConfigError("[nccl] " + path_.string() + " has no " + symbol +
                    ". Install NCCL anew (pip install nvidia-nccl-cu13), or let RINGSYNC_NCCL_LIB "
                    "name its file.");
}

std::string nccl_version_text(int version) {
  // Up to 2.8 a part had one digit.
  const int base = version < 10'000 ? 10 : 100;
  return std::to_string(version / 100 / base) + "." + std::to_string(version / 100 % base) + "." +
         std::to_string(version % 100);
}

}  // namespace ringsync
