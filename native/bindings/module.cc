#include <unistd.h>

#include "bindings/bindings.h"

namespace ringsync {
namespace {

/// Keeps a thread that is unwound through it for ever.
class Trap {
 public:
  Trap() = default;
  Trap(const Trap&) = delete;
  Trap& operator=(const Trap&) = delete;
  ~Trap() {
    while (is_set_) ::pause();
  }

  void open() { is_set_ = false; }

 private:
  bool is_set_ = true;
};

/// Before Python 3.14 a thread that wants the interpreter while another one ends it is unwound from
/// within by pthread_exit, whenever that begins.
void restore(PyThreadState* state) {
  Trap trap;
  PyEval_RestoreThread(state);
  trap.open();
}

}  // namespace

GilRelease::~GilRelease() { restore(state_); }

}  // namespace ringsync

NB_MODULE(_native, module) {
  // What an exception's traceback holds lives until the interpreter ends, and is no leak; told at
  // exit, it would bury that exception.
  nanobind::set_leak_warnings(false);
  module.doc() = "The native core of ringsync: engine, transports, schedules.";
  ringsync::bind_errors(module);
  ringsync::bind_store(module);
  ringsync::bind_handle(module);
  ringsync::bind_engine(module);
  ringsync::bind_shortcut(module);
  ringsync::bind_schedule(module);
  ringsync::bind_kernels(module);
  ringsync::bind_nccl(module);
  ringsync::bind_plugins(module);
  ringsync::bind_device_arrays(module);
}
