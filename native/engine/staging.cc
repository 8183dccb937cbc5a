#include "engine/staging.h"

#include <cstring>

#include "base/error.h"

namespace ringsync {
namespace {

/// It stays in the second-level caches, where the arrays do. 4 ranks on 2 cores, through queues and
/// staged: 64 KiB 47 and 34 us, 128 KiB 69 and 60, 256 KiB 129 and 99, 512 KiB 253 and 207; 1 MiB,
/// too much for these caches, 0.45 and 0.62 ms.
constexpr size_t kStagingBytes = 512 * 1024;

/// Of two ranks each sends the other only a half, which is less than the whole that is copied here
/// (2 ranks, through queues and staged: 64 KiB 10.5 and 13 us, 256 KiB 29 and 35 us).
constexpr size_t kFewestRanks = 3;

}  // namespace

Staging::Staging(Transport& transport, size_t ranks) {
  if (ranks < kFewestRanks) return;
  try {
    memory_ = transport.allocate(kStagingBytes);
  } catch (const Error&) {
    return;  // ranks need not stage alike
  }
  size_bytes_ = kStagingBytes;
  registration_ = transport.locate({memory_.get(), size_bytes_});
}

MutableByteSpan Staging::lend(ByteSpan data) {
  std::memcpy(memory_.get(), data.data(), data.size());
  return {memory_.get(), data.size()};
}

}  // namespace ringsync
