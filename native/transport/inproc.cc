#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "transport/block.h"

namespace ringsync {
namespace {

/// Blocks between ranks that are threads of one process.
class InprocSource final : public BlockSource {
 public:
  InprocSource(Store& store, int rank) : store_(store), rank_(rank) {}

  Block create(size_t bytes) override {
    const size_t size = round_up(bytes, kCacheLineBytes);
    auto memory = std::make_shared<Memory>(size);
    return {{memory->data(), size}, memory, {}};
  }

  void meet(int, SharedFd, Deadline) override {}

  void share(int, const std::string& key, const Block& block) override {
    store_.set(key, {"", {}, std::make_shared<Block>(block)});
  }

  Block fetch(int, const std::string& key, size_t at_least_bytes, Deadline deadline) override {
    const StoreValue value = store_.get(key, deadline);
    if (!value.object) {
      throw RendezvousError("[inproc] '" + key +
                            "' holds no object. Ranks as threads need one memory store.");
    }
    const Block block = *std::static_pointer_cast<Block>(value.object);
    if (block.bytes.size() < at_least_bytes) {
      throw RendezvousError("[inproc] block '" + key +
                            "' is too small. Run the same ringsync version on all ranks.");
    }
    return block;
  }

  /// Nobody keeps anything but the store, in which all find it.
  void forget(int rank, const std::string& key) noexcept override {
    if (rank == rank_) store_.remove(key);
  }

  bool can_reach(int, uint64_t, uint64_t) override { return true; }

  bool read(int, uint64_t address, MutableByteSpan into) override {
    std::memcpy(into.data(), reinterpret_cast<const std::byte*>(address), into.size());
    return true;
  }

  bool write(int, ByteSpan from, uint64_t address) override {
    std::memcpy(reinterpret_cast<std::byte*>(address), from.data(), from.size());
    return true;
  }

  SharedFd life() override { return {}; }
  SharedFd stacks() override { return {}; }

 private:
  /// Zeroed, from the beginning of a page on, as in shared memory.
  class Memory {
   public:
    explicit Memory(size_t bytes)
        : data_(
              static_cast<std::byte*>(std::aligned_alloc(kPageBytes, round_up(bytes, kPageBytes))),
              &std::free) {
      if (!data_) {
        throw Error("[inproc] no room for " + std::to_string(bytes) + " bytes. Free memory.");
      }
      std::fill_n(data_.get(), bytes, std::byte{0});
    }
    std::byte* data() const { return data_.get(); }

   private:
    std::unique_ptr<std::byte, decltype(&std::free)> data_;
  };

  Store& store_;
  const int rank_;
};

}  // namespace

std::unique_ptr<BlockSource> make_inproc_source(Store& store, int rank, int) {
  return std::make_unique<InprocSource>(store, rank);
}

}  // namespace ringsync
