#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "base/error.h"
#include "bindings/bindings.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ringsync {
namespace {

/// Raises class `name` of ringsync.errors with `arguments` behind the message. What its making
/// raises, Ctrl-C for instance, is raised instead.
template <typename... Arguments>
void raise(const char* name, const char* message, Arguments&&... arguments) {
  try {
    const nb::object type = nb::module_::import_("ringsync.errors").attr(name);
    const nb::object error = type(message, std::forward<Arguments>(arguments)...);
    PyErr_SetObject(type.ptr(), error.ptr());
  } catch (nb::python_error& instead) {
    instead.restore();
  }
}

void translate(const std::exception_ptr& pending, void*) {
  try {
    std::rethrow_exception(pending);
  } catch (const PeerLostError& error) {
    const LostPeer& peer = error.peer();
    raise("PeerLostError", error.what(), "rank"_a = peer.rank, "host"_a = peer.host,
          "pid"_a = peer.pid, "cause"_a = peer.cause, "tensor"_a = error.tensor());
  } catch (const StallError& error) {
    raise("StallError", error.what(), nb::tuple(nb::cast(error.missing())));
  } catch (const TimedOutError& error) {
    raise("TimedOutError", error.what(), nb::tuple(nb::cast(error.missing())));
  } catch (const MismatchError& error) {
    raise("MismatchError", error.what());
  } catch (const DuplicateNameError& error) {
    raise("DuplicateNameError", error.what());
  } catch (const NotInitializedError& error) {
    raise("NotInitializedError", error.what());
  } catch (const ConfigError& error) {
    raise("ConfigError", error.what());
  } catch (const RendezvousError& error) {
    raise("RendezvousError", error.what());
  } catch (const Error& error) {
    raise("RingsyncError", error.what());
  }
}

}  // namespace

void raise_current_exception() noexcept {
  try {
    throw;
  } catch (nb::python_error& error) {
    error.restore();
  } catch (...) {
    try {
      translate(std::current_exception(), nullptr);
    } catch (const std::bad_alloc&) {
      PyErr_NoMemory();
    } catch (const std::exception& error) {
      PyErr_SetString(PyExc_RuntimeError, error.what());
    }
  }
}

void bind_errors(nb::module_&) { nb::register_exception_translator(&translate); }

}  // namespace ringsync
