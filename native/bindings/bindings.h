#pragma once

// The door: conversion, exceptions, and letting go of the interpreter. No decisions are made here.

#include <nanobind/nanobind.h>

namespace ringsync {

void bind_errors(nanobind::module_& module);
void bind_store(nanobind::module_& module);
void bind_engine(nanobind::module_& module);
void bind_schedule(nanobind::module_& module);

}  // namespace ringsync
