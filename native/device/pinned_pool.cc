#include "device/pinned_pool.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace ringsync {
namespace {

/// Each costs every rank of the host a mapping and the kernel a millisecond.
constexpr size_t kChunkBytes = 16 * 1024 * 1024;

size_t padded(size_t bytes) { return round_up(std::max<size_t>(bytes, 1), kCacheLineBytes); }

}  // namespace

PinnedPool::PinnedPool(const RsDeviceApi& api, Allocate allocate)
    : api_(api), allocate_(std::move(allocate)), pid_(::getpid()) {}

PinnedPool::~PinnedPool() {
  if (::getpid() != pid_) return;
  for (auto& [address, chunk] : chunks_) {
    if (!chunk.pinned.empty()) api_.unpin(chunk.pinned.data());
  }
}

std::shared_ptr<std::byte> PinnedPool::lend(size_t bytes) {
  const size_t length = padded(bytes);
  std::byte* address = take(length);
  while (address == nullptr) {
    add_chunk(length);
    address = take(length);  // another thread may have been faster
  }
  return {address, [pool = shared_from_this(), length](std::byte* memory) {
            pool->give_back(memory, length);
          }};
}

std::byte* PinnedPool::take(size_t length) {
  const std::scoped_lock lock(mutex_);
  for (auto& [address, chunk] : chunks_) {
    if (const auto offset = chunk.free.take(length)) return chunk.memory.get() + *offset;
  }
  return nullptr;
}

/// Without the lock: to pin may wait for a device, which may be about to give memory back.
void PinnedPool::add_chunk(size_t length) {
  const size_t wanted = std::max(length, kChunkBytes);
  std::shared_ptr<std::byte> memory = allocate_(wanted + 2 * kPageBytes);
  const auto place = reinterpret_cast<uintptr_t>(memory.get());
  // No page may be pinned twice, and of chunks side by side one's last page may be another's first.
  const size_t first = round_up(place, kPageBytes) - place;
  const MutableByteSpan pages{memory.get() + first, wanted + kPageBytes};
  const bool is_pinned = api_.pin(pages.data(), pages.size()) == kRsOk;
  // At the place within a page where all memory of this rank begins, away from its neighbours'.
  const size_t begin = first + place % kPageBytes;
  const std::byte* const key = memory.get();
  const std::scoped_lock lock(mutex_);
  chunks_.emplace(key, Chunk{std::move(memory), is_pinned ? pages : MutableByteSpan(),
                             FreeList(begin, begin + wanted)});
}

void PinnedPool::give_back(const std::byte* address, size_t length) {
  if (::getpid() != pid_) return;
  const std::scoped_lock lock(mutex_);
  const auto chunk = std::prev(chunks_.upper_bound(address));
  chunk->second.free.give_back(static_cast<size_t>(address - chunk->first), length);
}

}  // namespace ringsync
