#pragma once

// Calls at the door: what Python asks for becomes a request, and the engine's answer a result or a
// handle.

#include <nanobind/nanobind.h>

#include "bindings/bound_engine.h"

namespace ringsync {

/// Defines what a call asks for beside its array, and the engine's methods that make calls.
void bind_calls(nanobind::module_& module, nanobind::class_<BoundEngine>& engine);

}  // namespace ringsync
