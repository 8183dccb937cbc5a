#pragma once

// A store for ranks that are threads of one process.

#include <condition_variable>
#include <map>
#include <mutex>

#include "rendezvous/store.h"

namespace ringsync {

class MemoryStore final : public Store {
 public:
  void set(const std::string& key, StoreValue value) override;
  StoreValue get(const std::string& key, Deadline deadline) override;
  int64_t add(const std::string& key, int64_t amount) override;
  bool remove(const std::string& key) override;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, StoreValue> values_;  // guarded by mutex_
};

}  // namespace ringsync
