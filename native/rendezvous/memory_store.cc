#include "rendezvous/memory_store.h"

#include <utility>

#include "base/error.h"
#include "rendezvous/local_protocol.h"

namespace ringsync {

void MemoryStore::set(const std::string& key, StoreValue value) {
  const std::lock_guard lock(mutex_);
  values_[key] = std::move(value);
  changed_.notify_all();
}

StoreValue MemoryStore::get(const std::string& key, Deadline deadline) {
  std::unique_lock lock(mutex_);
  const auto is_set = [&] { return values_.contains(key); };
  if (!changed_.wait_until(lock, deadline, is_set)) {
    throw RendezvousError("[rendezvous] key '" + key +
                          "' was not set in time. Check that all ranks use this store.");
  }
  return values_.at(key);
}

int64_t MemoryStore::add(const std::string& key, int64_t amount) {
  const std::lock_guard lock(mutex_);
  StoreValue& value = values_[key];
  const auto before = value.bytes.empty() ? std::optional<int64_t>(0) : parse_integer(value.bytes);
  if (!before) throw RendezvousError(not_a_counter_text(key));
  value.bytes = std::to_string(*before + amount);
  changed_.notify_all();
  return *before + amount;
}

bool MemoryStore::remove(const std::string& key) {
  const std::lock_guard lock(mutex_);
  return values_.erase(key) > 0;
}

}  // namespace ringsync
