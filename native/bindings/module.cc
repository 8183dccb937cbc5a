#include "bindings/bindings.h"

NB_MODULE(_native, module) {
  module.doc() = "The native core of ringsync: engine, transports, schedules.";
  ringsync::bind_errors(module);
  ringsync::bind_store(module);
  ringsync::bind_engine(module);
  ringsync::bind_schedule(module);
}
