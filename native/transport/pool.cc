#include "transport/pool.h"

#include <algorithm>

namespace ringsync {
namespace {

/// A free block serves a request that fills at least half of it.
constexpr size_t kWasteFactor = 2;

}  // namespace

std::string memory_key(int rank, uint64_t id) {
  return "memory/" + std::to_string(rank) + "/" + std::to_string(id);
}

std::shared_ptr<std::byte> Pool::allocate(size_t bytes) {
  const std::lock_guard lock(mutex_);
  const Entry& entry = take(std::max<size_t>(bytes, 1));
  // The pool lives at least as long as any memory of it.
  return {entry.block.bytes.data(),
          [pool = shared_from_this()](std::byte* address) { pool->give_back(address); }};
}

Registration Pool::locate(ByteSpan bytes) const {
  const std::lock_guard lock(mutex_);
  auto after = entries_.upper_bound(bytes.data());
  if (after == entries_.begin()) return {};
  const Entry& entry = std::prev(after)->second;
  const size_t offset = static_cast<size_t>(bytes.data() - entry.block.bytes.data());
  if (offset + bytes.size() > entry.block.bytes.size()) return {};
  return {entry.id, offset};
}

Pool::Entry& Pool::take(size_t bytes) {
  for (auto& [address, entry] : entries_) {
    const size_t size = entry.block.bytes.size();
    if (entry.is_free && size >= bytes && size / kWasteFactor <= bytes) {
      entry.is_free = false;
      std::fill_n(entry.block.bytes.data(), bytes, std::byte{0});
      return entry;
    }
  }
  Block block = source_.create(bytes);
  const uint64_t id = ++last_id_;
  source_.share(memory_key(rank_, id), block);
  const std::byte* const address = block.bytes.data();
  return entries_[address] = Entry{id, std::move(block), false};
}

void Pool::give_back(const std::byte* address) {
  const std::lock_guard lock(mutex_);
  entries_.at(address).is_free = true;
}

}  // namespace ringsync
