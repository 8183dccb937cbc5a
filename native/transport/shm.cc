#include <sys/uio.h>

#include <cerrno>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/fd.h"
#include "transport/block.h"

namespace ringsync {
namespace {

/// Blocks between processes of one host: memfds, handed over through the rendezvous store, so that
/// nothing has a name in the file system and nothing outlives the processes.
class ShmSource final : public BlockSource {
 public:
  explicit ShmSource(Store& store) : store_(store) {}

  std::string_view name() const override { return "shm"; }

  Block create(size_t bytes) override {
    const size_t size = round_up(bytes, kPageBytes);
    auto fd = std::make_shared<const Fd>(make_memfd(size));
    return map(std::move(fd), size);
  }

  void share(const std::string& key, Block& block) override {
    store_.set(key, {"memfd", std::exchange(block.fd, {}), {}});
  }

  Block fetch(const std::string& key, size_t at_least_bytes, Deadline deadline) override {
    StoreValue value = store_.get(key, deadline);
    if (!value.fd) {
      throw RendezvousError("[shm] '" + key +
                            "' came without a descriptor. Raise the limit of open files.");
    }
    const size_t size = file_bytes(*value.fd);
    if (size < at_least_bytes) {
      throw RendezvousError("[shm] block '" + key +
                            "' is too small. Run the same ringsync version on all ranks.");
    }
    Block block = map(std::move(value.fd), size);
    block.fd.reset();
    return block;
  }

  /// Kernels and containers may forbid it, and a pid may mean another process elsewhere: it is
  /// tried.
  bool can_reach(int pid, uint64_t address, uint64_t token) override {
    uint64_t found = 0;
    try {
      return read(pid, address, std::as_writable_bytes(std::span(&found, 1))) && found == token &&
             write(pid, std::as_bytes(std::span(&token, 1)), address);
    } catch (const Error&) {
      return false;
    }
  }

  bool read(int pid, uint64_t address, MutableByteSpan into) override {
    return copy_all(::process_vm_readv, pid, into, address);
  }

  bool write(int pid, ByteSpan from, uint64_t address) override {
    // The system call takes its source as an iovec too, which has no const.
    return copy_all(::process_vm_writev, pid, {const_cast<std::byte*>(from.data()), from.size()},
                    address);
  }

  SharedFd life() override { return std::make_shared<const Fd>(make_own_pidfd()); }
  SharedFd stacks() override { return std::make_shared<const Fd>(make_text_file()); }

 private:
  static constexpr size_t kPageBytes = 4096;

  /// The system call may move less than it was asked for.
  static bool copy_all(decltype(::process_vm_readv)& copy, int pid, MutableByteSpan bytes,
                       uint64_t address) {
    while (!bytes.empty()) {
      const iovec local{bytes.data(), bytes.size()};
      const iovec remote{reinterpret_cast<void*>(address), bytes.size()};
      const ssize_t count = copy(pid, &local, 1, &remote, 1, 0);
      if (count < 0 && errno == ESRCH) return false;
      if (count <= 0) {
        throw Error("[shm] reaching " + std::to_string(bytes.size()) + " bytes of process " +
                    std::to_string(pid) + " failed: " + errno_text() + ". " +
                    (errno == EPERM ? "Keep the privileges that init() found."
                                    : "Keep arrays alive until their operation is done."));
      }
      address += static_cast<uint64_t>(count);
      bytes = bytes.subspan(static_cast<size_t>(count));
    }
    return true;
  }

  static Block map(SharedFd fd, size_t size) {
    auto mapping = std::make_shared<Mapping>(*fd, size);
    return {mapping->bytes(), mapping, std::move(fd)};
  }

  Store& store_;
};

}  // namespace

std::unique_ptr<BlockSource> make_shm_source(Store& store) {
  return std::make_unique<ShmSource>(store);
}

}  // namespace ringsync
