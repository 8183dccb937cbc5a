#include "hostsim/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <string>

namespace ringsync::hostsim {
namespace {

/// Stands one page before the memory that callers see, so that no list of allocations is needed.
struct Header {
  uint64_t magic;
  uint64_t mapped_bytes;
  int32_t owner;
  int32_t fd;
};

constexpr uint64_t kMagic = 0x52696e6773796e63;
constexpr uint64_t kPageBytes = 4096;
static_assert(sizeof(Header) <= kPageBytes);
constexpr char kName[] = "ringsync-hostsim";
constexpr int kAnything = 0xa5;
constexpr int kHexadecimal = 16;
/// The device has this share of the host's memory.
constexpr uint64_t kDeviceShare = 4;

/// What RsMemoryHandle holds.
struct Name {
  int32_t owner;
  int32_t fd;
  uint64_t magic;
};
static_assert(sizeof(Name) <= sizeof(RsMemoryHandle));

Header* header_of(void* memory) {
  return reinterpret_cast<Header*>(static_cast<char*>(memory) - kPageBytes);
}

bool is_base(void* memory) {
  // Of an allocation only the base is at a page's beginning behind the magic number.
  return memory != nullptr && reinterpret_cast<uintptr_t>(memory) % kPageBytes == 0 &&
         header_of(memory)->magic == kMagic;
}

RsStatus map(int fd, uint64_t bytes, void** memory) {
  void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) return errno;
  *memory = static_cast<char*>(address) + kPageBytes;
  return kRsOk;
}

RsStatus unmap(void* memory, bool is_owner) {
  if (!is_base(memory)) return kRsNotABase;
  const Header header = *header_of(memory);
  if ((header.owner == ::getpid()) != is_owner) return kRsBadArgument;
  ::munmap(header_of(memory), header.mapped_bytes);
  if (is_owner) ::close(header.fd);
  return kRsOk;
}

}  // namespace

uint64_t memory_bytes() {
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * kPageBytes / kDeviceShare;
}

RsStatus allocate(uint64_t bytes, void** memory) {
  if (memory == nullptr) return kRsBadArgument;
  *memory = nullptr;
  // The kernel would grant page after page and then end some process.
  if (bytes > memory_bytes()) return kRsNoMemory;
  const int fd = ::memfd_create(kName, MFD_CLOEXEC);
  if (fd < 0) return errno;
  const uint64_t mapped_bytes = kPageBytes + (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  const RsStatus status = ::fallocate(fd, 0, 0, static_cast<off_t>(mapped_bytes)) == 0
                              ? map(fd, mapped_bytes, memory)
                              : static_cast<RsStatus>(kRsNoMemory);
  if (status != kRsOk) {
    ::close(fd);
    return status;
  }
  *header_of(*memory) = {kMagic, mapped_bytes, ::getpid(), fd};
  // A device's memory holds anything at first.
  std::memset(*memory, kAnything, mapped_bytes - kPageBytes);
  return kRsOk;
}

RsStatus release(void* memory) { return memory == nullptr ? kRsOk : unmap(memory, true); }

/// Asks the kernel: whoever has a page before each allocation keeps no list of them.
RsStatus look_at_memory(const void* memory, int32_t* device) {
  if (device == nullptr) return kRsBadArgument;
  *device = kRsNowhere;
  const auto wanted = reinterpret_cast<uintptr_t>(memory);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0;
    uintptr_t end = 0;
    const char* const text_end = line.data() + line.size();
    const char* const dash = std::from_chars(line.data(), text_end, begin, kHexadecimal).ptr;
    if (dash == text_end || *dash != '-') return kRsUnexpected;
    if (std::from_chars(dash + 1, text_end, end, kHexadecimal).ec != std::errc()) {
      return kRsUnexpected;
    }
    if (wanted < begin || wanted >= end) continue;
    if (line.find(kName) != std::string::npos) *device = 0;
    break;
  }
  return kRsOk;
}

RsStatus export_memory(void* memory, RsMemoryHandle* handle) {
  if (memory == nullptr || handle == nullptr) return kRsBadArgument;
  if (!is_base(memory)) return kRsNotABase;
  const Name name{header_of(memory)->owner, header_of(memory)->fd, kMagic};
  *handle = {};
  std::memcpy(handle, &name, sizeof(name));
  return kRsOk;
}

RsStatus open_memory(const RsMemoryHandle* handle, void** memory) {
  if (handle == nullptr || memory == nullptr) return kRsBadArgument;
  *memory = nullptr;
  Name name;
  std::memcpy(&name, handle, sizeof(name));
  if (name.magic != kMagic) return kRsBadArgument;
  // As CUDA does, so that whoever runs here runs there.
  if (name.owner == ::getpid()) return kRsOwnMemory;
  const std::string path = "/proc/" + std::to_string(name.owner) + "/fd/" + std::to_string(name.fd);
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return errno;
  struct stat facts{};
  RsStatus status = ::fstat(fd, &facts) == 0 ? kRsOk : errno;
  if (status == kRsOk) status = map(fd, static_cast<uint64_t>(facts.st_size), memory);
  ::close(fd);  // the mapping keeps the memory
  return status;
}

RsStatus close_memory(void* memory) { return unmap(memory, false); }

}  // namespace ringsync::hostsim
