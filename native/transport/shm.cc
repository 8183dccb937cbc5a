#include <sys/uio.h>

#include <cerrno>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/fd.h"
#include "transport/block.h"
#include "transport/handover.h"

namespace ringsync {
namespace {

std::string entrance_key(int rank) { return "rank/" + std::to_string(rank) + "/entrance"; }

/// Blocks between processes of one host: memfds, so that nothing has a name in the file system and
/// nothing outlives the processes.
class ShmSource final : public BlockSource {
 public:
  ShmSource(Store& store, int rank, int size) : store_(store), handover_(size) {
    store_.set(entrance_key(rank), {"socket", handover_.entrance(), {}});
  }

  Block create(size_t bytes) override {
    const size_t size = round_up(bytes, kPageBytes);
    auto fd = std::make_shared<const Fd>(make_memfd(size));
    auto mapping = std::make_shared<Mapping>(*fd, size);
    return {mapping->bytes(), mapping, std::move(fd)};
  }

  void meet(int rank, SharedFd life, Deadline deadline) override {
    SharedFd entrance = store_.get(entrance_key(rank), deadline).fd;
    if (!entrance || !life) {
      throw RendezvousError("[shm] rank " + std::to_string(rank) +
                            " shared no descriptors. Use one kind of store on all ranks.");
    }
    handover_.meet(rank, std::move(entrance), std::move(life));
  }

  void share(int rank, const std::string& key, const Block& block) override {
    handover_.give(rank, key, block.fd);
  }

  Block fetch(int rank, const std::string& key, size_t at_least_bytes, Deadline deadline) override {
    Block block = handover_.take(rank, key, deadline);
    if (block.bytes.size() < at_least_bytes) {
      throw RendezvousError("[shm] block '" + key +
                            "' is too small. Run the same ringsync version on all ranks.");
    }
    return block;
  }

  void forget(int, const std::string& key) noexcept override { handover_.forget(key); }

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

  Store& store_;
  Handover handover_;
};

}  // namespace

std::unique_ptr<BlockSource> make_shm_source(Store& store, int rank, int size) {
  return std::make_unique<ShmSource>(store, rank, size);
}

}  // namespace ringsync
