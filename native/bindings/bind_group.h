#pragma once

// Groups of some ranks as Python holds them: by their number in one engine.

#include <cstddef>
#include <memory>
#include <optional>

#include "engine/engine.h"

namespace ringsync {

/// With the interpreter held.
class BoundGroup {
 public:
  /// No `number` where this rank is not in it.
  BoundGroup(std::weak_ptr<Engine> engine, std::optional<size_t> number)
      : engine_(std::move(engine)), number_(number) {}

  /// Empty where the group is closed, is of another engine, or this rank is not in it.
  std::optional<size_t> number_in(const Engine& engine) const;
  /// Throws ConfigError where it has operations in flight, or is no open group of this rank's.
  void close();

 private:
  std::weak_ptr<Engine> engine_;
  std::optional<size_t> number_;
};

}  // namespace ringsync
