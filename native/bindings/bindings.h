#pragma once

// The door: conversion, exceptions, and letting go of the interpreter. No decisions are made here.

#include <nanobind/nanobind.h>

namespace ringsync {

/// Lets go of the interpreter for its lifetime. Another thread than the one that ends the
/// interpreter stays here for ever if it comes back meanwhile: to be unwound, as the interpreter
/// would have it, is not possible from here on.
class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;
  ~GilRelease();

 private:
  PyThreadState* const state_;
};

class BoundEngine;

/// In a handler: makes what was thrown the interpreter's error.
void raise_current_exception() noexcept;

void bind_errors(nanobind::module_& module);
void bind_store(nanobind::module_& module);
void bind_handle(nanobind::module_& module);
void bind_engine(nanobind::module_& module);
void bind_groups(nanobind::module_& module, nanobind::class_<BoundEngine>& engine);
void bind_calls(nanobind::module_& module, nanobind::class_<BoundEngine>& engine);
void bind_shortcut(nanobind::module_& module);
void bind_schedule(nanobind::module_& module);
void bind_kernels(nanobind::module_& module);
void bind_nccl(nanobind::module_& module);
void bind_plugins(nanobind::module_& module);
void bind_device_arrays(nanobind::module_& module);

}  // namespace ringsync
