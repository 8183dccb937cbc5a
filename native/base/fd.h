#pragma once

// Owned file descriptors, and the few kernel objects ringsync makes of them.

#include <cstddef>
#include <memory>
#include <string>

#include "base/span.h"

namespace ringsync {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int number) : number_(number) {}
  Fd(Fd&& other) noexcept : number_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return number_; }
  explicit operator bool() const { return number_ >= 0; }
  int release() noexcept;
  void reset() noexcept;

 private:
  int number_ = -1;
};

using SharedFd = std::shared_ptr<const Fd>;

/// Text of errno, for messages.
std::string errno_text();

/// A counter that wakes whoever polls it. Throws Error.
Fd make_eventfd();

/// Wakes them.
void ring(const Fd& eventfd) noexcept;

/// A process's own pidfd; readable once it has ended. Throws Error.
Fd make_own_pidfd();

/// Anonymous memory of exactly `bytes`, really allocated (no space is an error here, not a signal
/// at first touch) and sealed against a change of size. Throws Error.
Fd make_memfd(size_t bytes);

/// An empty file without a name, which grows. Throws Error.
Fd make_text_file();

/// The whole of a memfd, mapped shared. Throws Error. Unmapped on destruction.
class Mapping {
 public:
  Mapping(const Fd& memfd, size_t bytes);
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  MutableByteSpan bytes() const { return bytes_; }

 private:
  MutableByteSpan bytes_;
};

/// Size of the file behind a descriptor; what a peer claims is never used instead.
size_t file_bytes(const Fd& fd);

}  // namespace ringsync
