#include "transport/pool.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>

namespace ringsync {
namespace {

/// Each slab costs every rank of the host a mapping, of which the kernel allows 65,530 a process;
/// with slabs this large they last for 64 GiB of small arrays.
constexpr size_t kSlabBytes = 1024 * 1024;

/// Where a rank's slabs begin to be used: at a cache line of the page that is far from those of the
/// ranks next to it (39 is 64 divided by the golden ratio). Ranks sum element i of all arrays at
/// once; at equal addresses within a page these fight for one set of the first-level cache, and on
/// AMD, 256 MiB apart, for one way of it (256 MiB, 2 ranks: 100 ms, staggered 18 ms).
size_t stagger(int rank) {
  constexpr size_t kLinesPerPage = 64;
  return static_cast<size_t>(rank) * 39 % kLinesPerPage * kCacheLineBytes;
}

size_t padded(size_t bytes) { return round_up(std::max<size_t>(bytes, 1), kCacheLineBytes); }

}  // namespace

std::string memory_key(int rank, uint64_t id) {
  return "memory/" + std::to_string(rank) + "/" + std::to_string(id);
}

Pool::Pool(BlockSource& source, int rank, int size)
    : source_(source), rank_(rank), size_(size), pid_(::getpid()) {}

std::shared_ptr<std::byte> Pool::allocate(size_t bytes) {
  const size_t length = padded(bytes);
  std::byte* address = take(length);
  if (address == nullptr) address = take_new(length);
  std::fill_n(address, length, std::byte{0});
  // The pool lives at least as long as any memory of it.
  return {address, [pool = shared_from_this(), length](std::byte* memory) {
            pool->give_back(memory, length);
          }};
}

Registration Pool::locate(ByteSpan bytes) const {
  const std::scoped_lock lock(mutex_);
  auto after = slabs_.upper_bound(bytes.data());
  if (after == slabs_.begin()) return {};
  const Slab& slab = std::prev(after)->second;
  const auto offset = static_cast<size_t>(bytes.data() - slab.block.bytes.data());
  const size_t size = slab.block.bytes.size();
  if (offset > size || bytes.size() > size - offset) return {};
  return {slab.id, offset};
}

std::byte* Pool::take_from(Slab& slab, size_t bytes) {
  const auto offset = slab.free.take(bytes);
  return offset ? slab.block.bytes.data() + *offset : nullptr;
}

std::byte* Pool::take(size_t bytes) {
  const std::scoped_lock lock(mutex_);
  for (auto& [address, slab] : slabs_) {
    if (std::byte* const found = take_from(slab, bytes)) return found;
  }
  return nullptr;
}

/// Without the lock as long as peers may have to make room for what is shared.
std::byte* Pool::take_new(size_t bytes) {
  const size_t first = stagger(rank_);
  Block block = source_.create(std::max(first + bytes, kSlabBytes));
  const uint64_t id = ++last_id_;
  for (int peer = 0; peer < size_; ++peer) {
    if (peer != rank_) source_.share(peer, memory_key(rank_, id), block);
  }
  block.fd.reset();
  const std::byte* const address = block.bytes.data();
  const size_t size = block.bytes.size();
  const std::scoped_lock lock(mutex_);
  const auto slab = slabs_.emplace(address, Slab{id, std::move(block), FreeList(first, size)});
  return take_from(slab.first->second, bytes);
}

void Pool::give_back(const std::byte* address, size_t bytes) {
  if (::getpid() != pid_ || is_retired_) return;
  const std::scoped_lock lock(mutex_);
  Slab& slab = std::prev(slabs_.upper_bound(address))->second;
  slab.free.give_back(static_cast<size_t>(address - slab.block.bytes.data()), bytes);
}

}  // namespace ringsync
