#pragma once

// What FAKE_NCCL asks for, a comma between two: version=21700, id=fail, init=fail,
// init=hang, async=6 (the error after the first collective), hang (collectives wait until aborted),
// memory=fail, window=fail, stuck (what is put on a stream is never taken in), connect (the first
// call of a kind is taken in once all ranks have made it), ctas=16 (who names another number of
// blocks cannot join; 0: who names any), device=1 (on
// which communicators say that they are). Read anew each time.

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <sstream>
#include <string>

namespace fake_nccl {

/// What follows `word` and the equals sign in the list; none where the word is not there.
inline std::optional<std::string> fault(const std::string& word) {
  const char* text = std::getenv("FAKE_NCCL");
  std::istringstream list(text != nullptr ? text : "");
  for (std::string one; std::getline(list, one, ',');) {
    const size_t equals = std::min(one.find('='), one.size());
    if (one.substr(0, equals) == word) return one.substr(std::min(equals + 1, one.size()));
  }
  return std::nullopt;
}

inline int number_of(const std::string& word, int otherwise) {
  const std::optional<std::string> value = fault(word);
  return value ? std::stoi(*value) : otherwise;
}

}  // namespace fake_nccl
