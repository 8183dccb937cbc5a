// Times one model as bench.ranks.contest times a library, without Python:
//   ceilings MODEL NAME:ELEMENTS:SAMPLES:CALLS... DIRECTORY
// writes DIRECTORY/rank-0.json, in which a sample takes as long as on its slower rank.

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <exception>
#include <fstream>
#include <iostream>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "models.h"
#include "shared.h"

namespace ceilings {
namespace {

struct Case {
  std::string name;
  size_t count = 0;
  size_t samples = 0;
  size_t calls = 0;
};

struct Report {
  std::vector<double> times_s;
  size_t wrong = 0;
};

Case read_case(const std::string& text) {
  Case found;
  std::istringstream words(text);
  char colon = 0;
  std::getline(words, found.name, ':');
  words >> found.count >> colon >> found.samples >> colon >> found.calls;
  if (!words || found.count == 0) throw std::invalid_argument("no case: " + text);
  return found;
}

/// Keeps this process on the rank-th core that it may use; the models spin, and need one each.
void bind_to_core(int rank) {
  cpu_set_t usable, chosen;
  CPU_ZERO(&usable);
  CPU_ZERO(&chosen);
  if (sched_getaffinity(0, sizeof usable, &usable) != 0) return;
  int seen = 0;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &usable) && seen++ == rank) CPU_SET(core, &chosen);
  }
  if (CPU_COUNT(&chosen) == 1) sched_setaffinity(0, sizeof chosen, &chosen);
}

/// One rank's part of a case; what it finds goes into memory that both ranks share.
class Rank {
 public:
  Rank(int rank, Model& model, Counters& meeting, std::span<double> times_s, double& wrong)
      : rank_(rank), model_(model), meeting_(meeting), times_s_(times_s), wrong_(wrong) {}

  void measure(size_t calls) {
    fill(static_cast<float>(rank_ + 1));
    model_.allreduce();
    wrong_ = count_wrong(3.0F);
    if (calls > 1) {
      fill(0.0F);  // zeros stay zeros, however often they are summed
      time(calls);
    }
    for (double& time_s : times_s_) {
      if (calls == 1) fill(1.0F);
      time_s = time(calls) / static_cast<double>(calls);
    }
    wrong_ += count_wrong(calls == 1 ? 2.0F : 0.0F);
  }

 private:
  void fill(float value) { std::ranges::fill(model_.array(), value); }

  double count_wrong(float expected) {
    const auto is_wrong = [expected](float value) { return value != expected; };
    return static_cast<double>(std::ranges::count_if(model_.array(), is_wrong));
  }

  double time(size_t calls) {
    meet(meeting_, rank_, ++turn_);
    const auto start = std::chrono::steady_clock::now();
    for (size_t call = 0; call < calls; ++call) model_.allreduce();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  const int rank_;
  Model& model_;
  Counters& meeting_;
  const std::span<double> times_s_;
  double& wrong_;
  int64_t turn_ = 0;
};

/// Ends this process without what its parent has still to do.
[[noreturn]] void run_child(Rank rank, size_t calls) {
  try {
    rank.measure(calls);
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    _exit(1);
  }
  _exit(0);
}

Report measure(const std::string& name, const Case& wanted) {
  const auto model = make_model(name, wanted.count);
  const Mapping meeting(sizeof(Counters), true);
  const Mapping found(2 * (wanted.samples + 1) * sizeof(double), true);
  const auto times_s = found.view<double>(0, 2 * wanted.samples);
  const auto wrong = found.view<double>(2 * wanted.samples * sizeof(double), 2);
  const auto rank = [&](int number, std::array<pid_t, 2> processes) {
    bind_to_core(number);
    model->join(number, processes);
    return Rank(number, *model, meeting.view<Counters>(0, 1)[0],
                times_s.subspan(number * wanted.samples, wanted.samples), wrong[number]);
  };
  cpu_set_t before;
  sched_getaffinity(0, sizeof before, &before);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) run_child(rank(1, {parent, getpid()}), wanted.calls);
  rank(0, {parent, child}).measure(wanted.calls);
  int status = 0;
  waitpid(child, &status, 0);
  sched_setaffinity(0, sizeof before, &before);
  if (status != 0) throw std::runtime_error("rank 1 failed");
  Report report{{}, static_cast<size_t>(wrong[0] + wrong[1])};
  for (size_t i = 0; i < wanted.samples; ++i) {
    report.times_s.push_back(std::max(times_s[i], times_s[wanted.samples + i]));
  }
  return report;
}

void write(std::ostream& file, const Case& measured, const Report& report) {
  file << R"({"name": ")" << measured.name << R"(", "wrong": )" << report.wrong
       << R"(, "times_s": [)";
  for (size_t i = 0; i < report.times_s.size(); ++i) {
    file << (i == 0 ? "" : ", ") << report.times_s[i];
  }
  file << "]}";
}

void run(const std::vector<std::string>& words) {
  if (words.size() < 3) throw std::invalid_argument("a model, cases and a directory are expected");
  std::ofstream file(words.back() + "/rank-0.json");
  file.precision(9);
  file << "[";
  for (size_t i = 1; i + 1 < words.size(); ++i) {
    const Case wanted = read_case(words[i]);
    file << (i == 1 ? "" : ", ");
    write(file, wanted, measure(words[0], wanted));
  }
  file << "]\n";
  file.close();
  if (!file) throw std::runtime_error("the report cannot be written");
}

}  // namespace
}  // namespace ceilings

int main(int count, char** words) {
  try {
    ceilings::run({words + 1, words + count});
  } catch (const std::exception& error) {
    std::cerr << "[ceilings] " << error.what() << '\n';
    return 1;
  }
  return 0;
}
