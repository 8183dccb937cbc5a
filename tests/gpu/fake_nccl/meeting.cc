#include "meeting.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string>

namespace fake_nccl {
namespace {

constexpr uint64_t kMagic = 0x66616b656e63636c;
/// Small, so that what tests move takes several pieces.
constexpr size_t kBoxBytes = 4096;

/// What a unique id holds.
struct Id {
  uint64_t magic;
  uint64_t nonce;
  int32_t owner;
  int32_t fd;
};
static_assert(sizeof(Id) <= sizeof(UniqueId));

}  // namespace

struct Meeting::Box {
  std::atomic<uint32_t> filled;  // bytes; 0 is an empty one
  std::array<std::byte, kBoxBytes> bytes;
};

struct Meeting::Memory {
  uint64_t nonce;
  std::atomic<int> joined;
  std::array<std::atomic<int>, kKinds> connected;
  std::atomic<bool> is_closed;                                // the id's own descriptor
  std::array<std::array<Box, kMostRanks>, kMostRanks> boxes;  // by sender and receiver
};

bool Meeting::make_id(UniqueId& id) {
  std::random_device random;
  Id made{kMagic, random() * uint64_t{1} << 32 | random(), ::getpid(),
          ::memfd_create("ringsync-fake-nccl", MFD_CLOEXEC)};
  if (made.fd < 0 || ::ftruncate(made.fd, sizeof(Memory)) != 0 ||
      ::pwrite(made.fd, &made.nonce, sizeof(made.nonce), 0) != sizeof(made.nonce)) {
    return false;
  }
  id = {};
  std::memcpy(&id, &made, sizeof(made));
  return true;
}

std::unique_ptr<Meeting> Meeting::join(const UniqueId& unique_id, int rank) {
  Id id{};
  std::memcpy(&id, &unique_id, sizeof(id));
  if (id.magic != kMagic) return nullptr;
  const std::string path = "/proc/" + std::to_string(id.owner) + "/fd/" + std::to_string(id.fd);
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return nullptr;
  void* address = ::mmap(nullptr, sizeof(Memory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (address == MAP_FAILED) return nullptr;
  auto* memory = static_cast<Memory*>(address);
  std::unique_ptr<Meeting> meeting(new Meeting(memory, rank, id.owner == ::getpid() ? id.fd : -1));
  if (memory->nonce != id.nonce) return nullptr;
  ++memory->joined;
  return meeting;
}

Meeting::~Meeting() {
  // The first rank to leave: all have joined, or none that comes now is to.
  if (fd_ >= 0 && !memory_->is_closed.exchange(true)) ::close(fd_);
  ::munmap(memory_, sizeof(Memory));
}

int Meeting::joined() const { return memory_->joined; }

std::atomic<int>& Meeting::connected(int kind) {
  return memory_->connected[static_cast<size_t>(kind)];
}

bool Meeting::exchange(std::span<Message> messages, const std::atomic<bool>& is_given_up) {
  return wait_until(is_given_up, [&] {
    bool is_over = true;
    for (Message& message : messages) {
      while (!message.bytes.empty() && move(message)) {
      }
      is_over = is_over && message.bytes.empty();
    }
    return is_over;
  });
}

/// Moves one piece if it can be moved now.
bool Meeting::move(Message& message) {
  Box& box =
      message.is_sent ? memory_->boxes[rank_][message.peer] : memory_->boxes[message.peer][rank_];
  const uint32_t filled = box.filled;
  if (message.is_sent == (filled != 0)) return false;
  const size_t bytes = message.is_sent ? std::min(message.bytes.size(), kBoxBytes) : filled;
  if (message.is_sent) {
    std::memcpy(box.bytes.data(), message.bytes.data(), bytes);
  } else {
    std::memcpy(message.bytes.data(), box.bytes.data(), bytes);
  }
  box.filled = message.is_sent ? static_cast<uint32_t>(bytes) : 0;
  message.bytes = message.bytes.subspan(bytes);
  return true;
}

}  // namespace fake_nccl
