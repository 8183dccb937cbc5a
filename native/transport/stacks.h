#pragma once

// What a peer that keeps others waiting is doing: its process is asked by a signal, and writes its
// Python stacks into a file that all can read, whoever holds its interpreter.

#include <string>

#include "transport/waiter.h"

namespace ringsync {

/// The signal at which a rank's process writes. Programs of the user's take real-time signals from
/// the lowest on, if they take any; the last two belong to debuggers by habit.
int stacks_signal();

/// Asks `peer` in the name of rank `self`. False where another rank has asked already, and will
/// tell.
bool ask_for_stacks(int self, Peer& peer);
/// What it has written since it was asked, some tenths of a second ago, or why it has not.
std::string stacks_of(const Peer& peer);
/// The peer goes on: others may ask.
void forget_stacks(int self, Peer& peer);

}  // namespace ringsync
