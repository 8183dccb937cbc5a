#include <unistd.h>

#include "bindings/bindings.h"

namespace ringsync {

GilRelease::~GilRelease() {
#if PY_VERSION_HEX >= 0x030D0000
  const bool is_ending = Py_IsFinalizing() != 0;
#else
  const bool is_ending = _Py_IsFinalizing() != 0;
#endif
  while (is_ending) ::pause();
  PyEval_RestoreThread(state_);
}

}  // namespace ringsync

NB_MODULE(_native, module) {
  module.doc() = "The native core of ringsync: engine, transports, schedules.";
  ringsync::bind_errors(module);
  ringsync::bind_store(module);
  ringsync::bind_handle(module);
  ringsync::bind_engine(module);
  ringsync::bind_shortcut(module);
  ringsync::bind_schedule(module);
  ringsync::bind_kernels(module);
}
