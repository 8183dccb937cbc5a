#pragma once

// The lengths of an array's dimensions, in place: a small operation takes no longer than a few
// visits to the allocator.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

namespace ringsync {

inline constexpr size_t kMaxDimensions = 8;

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> lengths) : Shape(std::span(lengths)) {}
  /// Of more than kMaxDimensions it keeps the number only.
  template <typename Length>
  explicit Shape(std::span<const Length> lengths) : size_(lengths.size()) {
    std::ranges::copy(lengths.first(std::min(size_, kMaxDimensions)), lengths_.begin());
  }

  /// Number of dimensions; no other function may be called where it is above kMaxDimensions.
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const int64_t* begin() const { return lengths_.data(); }
  const int64_t* end() const { return lengths_.data() + size_; }
  int64_t operator[](size_t i) const { return lengths_[i]; }
  int64_t& operator[](size_t i) { return lengths_[i]; }

  /// Elements that one step along the first dimension passes. There is a first dimension.
  size_t row_elements() const {
    size_t elements = 1;
    for (size_t i = 1; i < size_; ++i) elements *= static_cast<size_t>(lengths_[i]);
    return elements;
  }

 private:
  size_t size_ = 0;
  std::array<int64_t, kMaxDimensions> lengths_{};
};

}  // namespace ringsync
