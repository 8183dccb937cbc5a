#include "base/fd.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "base/error.h"
#include "base/room.h"

namespace ringsync {

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    number_ = other.release();
  }
  return *this;
}

int Fd::release() noexcept { return std::exchange(number_, -1); }

void Fd::reset() noexcept {
  if (number_ >= 0) ::close(std::exchange(number_, -1));
}

namespace {

/// On x86, and on ARM with pages of 4 KiB.
constexpr size_t kHugePageBytes = 2 * 1024 * 1024;

}  // namespace

std::string errno_text() { return std::strerror(errno); }

Fd make_eventfd() {
  Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd)
    throw Error("[shm] eventfd failed: " + errno_text() + ". Check the limit of open files.");
  return fd;
}

void ring(const Fd& eventfd) noexcept {
  const uint64_t one = 1;
  // Cannot fail before 2^64 of them.
  [[maybe_unused]] const ssize_t written = ::write(eventfd.get(), &one, sizeof(one));
}

Fd make_own_pidfd() {
  Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!fd)
    throw Error("[shm] pidfd_open failed: " + errno_text() + ". Linux 5.3 or newer is needed.");
  return fd;
}

Fd make_text_file() {
  Fd fd(::memfd_create("ringsync-text", MFD_CLOEXEC));
  if (!fd) {
    throw Error("[shm] memfd_create failed: " + errno_text() + ". Check the limit of open files.");
  }
  return fd;
}

Fd make_memfd(size_t bytes) {
  std::ifstream meminfo("/proc/meminfo");
  if (const size_t available = free_room(meminfo); bytes > available) {
    // The kernel would grant page after page and then end some process, perhaps a stranger's.
    throw Error("[shm] no room for " + std::to_string(bytes) + " bytes of shared memory, " +
                std::to_string(available) + " are available. Free memory, or ask for less.");
  }
  Fd fd(::memfd_create("ringsync", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd)
    throw Error("[shm] memfd_create failed: " + errno_text() + ". Raise the limit of open files.");
  if (::fallocate(fd.get(), 0, 0, static_cast<off_t>(bytes)) != 0) {
    throw Error("[shm] no room for " + std::to_string(bytes) + " bytes of shared memory: " +
                errno_text() + ". Free memory or raise the container's limit.");
  }
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    throw Error("[shm] sealing shared memory failed: " + errno_text() +
                ". Linux 5.3 or newer is needed.");
  }
  return fd;
}

Mapping::Mapping(const Fd& memfd, size_t bytes) {
  void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd.get(), 0);
  if (address == MAP_FAILED) {
    throw Error("[shm] mapping " + std::to_string(bytes) + " bytes failed: " + errno_text() +
                ". Free memory, or raise vm.max_map_count.");
  }
  // Where the host's setting gives huge pages to those who ask, khugepaged makes some in time: they
  // were small when they were set aside. Elsewhere it is refused, or void.
  if (bytes >= kHugePageBytes) ::madvise(address, bytes, MADV_HUGEPAGE);
  bytes_ = {static_cast<std::byte*>(address), bytes};
}

Mapping::~Mapping() { ::munmap(bytes_.data(), bytes_.size()); }

size_t file_bytes(const Fd& fd) {
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) throw Error("[shm] fstat failed: " + errno_text() + ".");
  return static_cast<size_t>(status.st_size);
}

}  // namespace ringsync
