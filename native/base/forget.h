#pragma once

// What is left to the process's end, because to give it back would be worse.

#include <memory>
#include <utility>

namespace ringsync {

/// Keeps until the process ends what must never be given back, because somebody may still be at
/// work in it.
template <typename T>
void forget(T kept) {
  static_cast<void>(std::make_unique<T>(std::move(kept)).release());
}

}  // namespace ringsync
