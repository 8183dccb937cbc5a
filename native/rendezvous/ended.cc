#include "rendezvous/ended.h"

#include <unistd.h>

namespace ringsync {

std::optional<std::string> ended_rank_text(const std::string& path, int size) {
  const std::string total = std::to_string(size);
  for (int rank = 0; rank < size; ++rank) {
    const std::string number = std::to_string(rank);
    // launch/directories.py makes this name; with the size, as a part of a job counts by itself.
    const std::string note = path + ".ended." + number + "-of-" + total;
    if (::access(note.c_str(), F_OK) != 0) continue;
    return "[rendezvous] rank " + number + " of " + total +
           " ended with code 0 before it met the others in init. Let every rank call init, or "
           "none.";
  }
  return std::nullopt;
}

}  // namespace ringsync
