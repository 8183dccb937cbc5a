#pragma once

#include <dlfcn.h>

#include <string>

namespace ringsync {

/// Why the calling thread's last call of the dynamic loader failed, for messages.
inline std::string dl_error_text() {
  const char* text = ::dlerror();
  return text != nullptr ? text : "unknown";
}

}  // namespace ringsync
