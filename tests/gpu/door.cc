// One thread goes in and out of a door, another closes it: once that has waited, nobody is inside
// and nobody comes in. Prints how often a visit was refused, or what has gone wrong.

#include <cstdio>
#include <thread>

#include "device/nccl_door.h"

namespace {

constexpr int kRounds = 2000;

bool play(int round, int& refused) {
  ringsync::NcclDoor door;
  std::atomic<bool> is_there = true;  // what is behind the door
  std::atomic<int> visits = 0;
  bool has_seen_it_gone = false;
  std::thread visitor([&] {
    for (bool has_come_in = true; has_come_in;) {
      const ringsync::NcclDoor::Visit visit(door);
      has_come_in = visit.may_stay();
      if (!has_come_in) {
        ++refused;
        continue;
      }
      ++visits;
      std::this_thread::yield();
      has_seen_it_gone = has_seen_it_gone || !is_there;
    }
  });
  while (visits <= round % 3) std::this_thread::yield();
  door.shut();
  is_there = false;
  visitor.join();
  return !has_seen_it_gone;
}

}  // namespace

int main() {
  int refused = 0;
  for (int round = 0; round < kRounds; ++round) {
    if (play(round, refused)) continue;
    std::printf("round %d: it was gone while somebody was inside\n", round);
    return 1;
  }
  std::printf("%d\n", refused);
}
