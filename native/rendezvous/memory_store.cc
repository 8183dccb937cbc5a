#include "rendezvous/memory_store.h"

#include <utility>

#include "base/error.h"
#include "rendezvous/local_protocol.h"

namespace ringsync {

void MemoryStore::set(const std::string& key, StoreValue value) {
  const std::scoped_lock lock(mutex_);
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
  const std::scoped_lock lock(mutex_);
  const auto known = values_.find(key);
  const auto sum = counted(known == values_.end() ? "" : known->second.bytes, amount);
  if (!sum) throw RendezvousError(not_a_counter_text(key));
  values_[key].bytes = std::to_string(*sum);
  changed_.notify_all();
  return *sum;
}

bool MemoryStore::remove(const std::string& key) {
  const std::scoped_lock lock(mutex_);
  return values_.erase(key) > 0;
}

}  // namespace ringsync
