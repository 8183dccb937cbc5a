#include "rendezvous/ended.h"

#include <filesystem>
#include <string_view>
#include <system_error>

#include "rendezvous/local_protocol.h"

namespace ringsync {

std::optional<std::string> ended_rank_text(const std::string& path, int size) {
  const std::filesystem::path socket(path);
  const std::string total = std::to_string(size);
  // launch/ended.py makes these names; with the size, as a part of a job counts by itself.
  const std::string begin = socket.filename().string() + ".ended.";
  const std::string end = "-of-" + total;
  std::optional<int64_t> first;
  std::error_code error;  // makes the directory's end of whatever stands in the way
  // Looked through once: to ask for the note of each rank takes each rank `size` calls.
  std::filesystem::directory_iterator entry(socket.parent_path(), error);
  for (; entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(begin) || !name.ends_with(end)) continue;
    if (name.size() < begin.size() + end.size()) continue;
    const size_t digits = name.size() - begin.size() - end.size();
    const auto rank = parse_integer(std::string_view(name).substr(begin.size(), digits));
    if (rank && *rank >= 0 && *rank < size && (!first || *rank < *first)) first = rank;
  }
  if (!first) return std::nullopt;
  return "[rendezvous] rank " + std::to_string(*first) + " of " + total +
         " ended with code 0 before it met the others in init. Let every rank call init, or none.";
}

}  // namespace ringsync
