// A public function of Python's whose ordinary calls go to the engine without a line of Python.
//
// To bind seven keywords takes the interpreter longer than a small allreduce takes two ranks. So
// what is called is a shortcut: where every argument is ordinary it makes the call itself, and
// hands all others to the function, which knows what to do and what to say.

#include <nanobind/nanobind.h>
#include <structmember.h>

#include <array>
#include <cmath>
#include <cstddef>

#include "bindings/bind_array.h"
#include "bindings/bind_group.h"
#include "bindings/bindings.h"
#include "bindings/call.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ringsync {
namespace {

enum Keyword : size_t { kOp, kName, kGroup, kCodec, kPrescale, kPostscale, kTimeout, kKeywords };
constexpr std::array<const char*, kKeywords> kKeywordNames = {
    "op", "name", "group", "codec", "prescale", "postscale", "timeout_s"};

/// As the interpreter lays an object out: its type makes it, zeroed, and frees it.
struct Shortcut {
  PyObject_HEAD vectorcallfunc call;
  PyObject* attributes;  // what functools.update_wrapper copies of the function
  PyObject* weak_references;
  PyObject* function;
  PyObject* place;        // its name
  PyObject* engine_cell;  // empty while there is no engine
  PyObject* op_type;
  PyObject* group_type;
  PyObject* handle_type;                      // None: the call blocks
  std::array<PyObject*, kKeywords> keywords;  // interned; null where the function has none such
  size_t positional_count;
  Collective collective;
  ReduceOp op;  // unless the call names one
  Form form;
};

Shortcut& shortcut_of(PyObject* self) { return *reinterpret_cast<Shortcut*>(self); }

std::array<PyObject**, 7> owned_by(Shortcut& self) {
  return {&self.attributes, &self.function,   &self.place,      &self.engine_cell,
          &self.op_type,    &self.group_type, &self.handle_type};
}

/// What a call gives beside its array.
struct Given {
  const Engine& engine;
  Terms terms;
  size_t group = kWorld;
  nb::handle name = Py_None;
  nb::handle timeout_s = Py_None;
};

bool take_op(const Shortcut& self, PyObject* value, ReduceOp& op) {
  if (reinterpret_cast<PyObject*>(Py_TYPE(value)) != self.op_type) return false;
  op = static_cast<ReduceOp>(PyLong_AsLong(value));
  return is_built(op);
}

bool take_scale(PyObject* value, double& scale) {
  if (!PyFloat_CheckExact(value)) return false;
  scale = PyFloat_AS_DOUBLE(value);
  return std::isfinite(scale);
}

bool take_group(const Shortcut& self, PyObject* value, const Engine& engine, size_t& group) {
  if (value == Py_None) return true;
  const bool is_group = reinterpret_cast<PyObject*>(Py_TYPE(value)) == self.group_type;
  if (!is_group || !nb::inst_ready(value)) return false;
  const auto number = nb::inst_ptr<BoundGroup>(value)->number_in(engine);
  group = number.value_or(kWorld);
  return number.has_value();
}

/// False where the function has to look at it. A keyword that a program has made up letter by
/// letter is another object than the interned one.
bool take_keyword(const Shortcut& self, PyObject* keyword, PyObject* value, Given& given) {
  const auto is_called = [&](Keyword one) { return keyword == self.keywords[one]; };
  if (is_called(kOp)) return take_op(self, value, given.terms.op);
  if (is_called(kGroup)) return take_group(self, value, given.engine, given.group);
  if (is_called(kCodec)) return value == Py_None;
  if (is_called(kPrescale)) return take_scale(value, given.terms.prescale);
  if (is_called(kPostscale)) return take_scale(value, given.terms.postscale);
  if (is_called(kName)) {
    given.name = value;
  } else if (is_called(kTimeout)) {
    given.timeout_s = value;
  } else {
    return false;
  }
  return true;
}

/// Makes an ordinary call; null for another one.
nb::object take(const Shortcut& self, PyObject* const* arguments, size_t count,
                PyObject* keywords) {
  // Held, because shutdown() on another thread may empty the cell meanwhile.
  const nb::object engine = nb::borrow(PyCell_GET(self.engine_cell));
  if (!engine.is_valid() || count != self.positional_count) return {};
  auto& bound = *nb::inst_ptr<BoundEngine>(engine);
  Given given{.engine = bound.get(), .terms = {.op = self.op}};
  const Py_ssize_t more = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
  for (Py_ssize_t i = 0; i < more; ++i) {
    PyObject* const value = arguments[count + static_cast<size_t>(i)];
    if (!take_keyword(self, PyTuple_GET_ITEM(keywords, i), value, given)) return {};
  }
  const Call call{self.collective, count > 0 ? arguments[0] : Py_None,
                  self.place,      given.name,
                  given.timeout_s, given.terms,
                  given.group};
  return self.handle_type == Py_None ? run(bound, call, self.form)
                                     : submit(bound, self.handle_type, call, self.form);
}

PyObject* call_shortcut(PyObject* self, PyObject* const* arguments, size_t count_and_flag,
                        PyObject* keywords) noexcept {
  const Shortcut& shortcut = shortcut_of(self);
  const auto count = static_cast<size_t>(PyVectorcall_NARGS(count_and_flag));
  try {
    nb::object result = take(shortcut, arguments, count, keywords);
    if (result.is_valid()) return result.release().ptr();
  } catch (const RefusedError&) {
    // Nothing has happened yet.
  } catch (...) {
    raise_current_exception();
    return nullptr;
  }
  return PyObject_Vectorcall(shortcut.function, arguments, count_and_flag, keywords);
}

// What the interpreter asks of the type.

int visit_all(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  for (PyObject** const one : owned_by(shortcut_of(self))) Py_VISIT(*one);
  return 0;
}

int clear_all(PyObject* self) {
  for (PyObject** const one : owned_by(shortcut_of(self))) Py_CLEAR(*one);
  return 0;
}

void free_shortcut(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (shortcut_of(self).weak_references != nullptr) PyObject_ClearWeakRefs(self);
  clear_all(self);
  for (PyObject* const keyword : shortcut_of(self).keywords) Py_XDECREF(keyword);
  type->tp_free(self);
  Py_DECREF(type);
}

/// As a function's: pydoc and inspect know it by this, and it becomes a method where a class has
/// it.
PyObject* bind_to(PyObject* self, PyObject* instance, PyObject*) {
  return instance == nullptr || instance == Py_None ? Py_NewRef(self)
                                                    : PyMethod_New(self, instance);
}

/// Pickled and copied as a function is, by its name.
PyObject* reduce_to_name(PyObject* self, PyObject*) {
  return PyObject_GetAttrString(self, "__qualname__");
}

// The interpreter takes these by pointer and changes none of them.
constexpr PyMemberDef kMembers[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Shortcut, call), READONLY, nullptr},
    {"__dictoffset__", T_PYSSIZET, offsetof(Shortcut, attributes), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Shortcut, weak_references), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};
constexpr PyMethodDef kMethods[] = {
    {"__reduce__", &reduce_to_name, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
constexpr PyGetSetDef kComputed[] = {
    {"__dict__", &PyObject_GenericGetDict, &PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

nb::object make_type() {
  PyType_Slot slots[] = {
      {Py_tp_call, reinterpret_cast<void*>(&PyVectorcall_Call)},
      {Py_tp_traverse, reinterpret_cast<void*>(&visit_all)},
      {Py_tp_clear, reinterpret_cast<void*>(&clear_all)},
      {Py_tp_dealloc, reinterpret_cast<void*>(&free_shortcut)},
      {Py_tp_descr_get, reinterpret_cast<void*>(&bind_to)},
      {Py_tp_members, const_cast<PyMemberDef*>(kMembers)},
      {Py_tp_methods, const_cast<PyMethodDef*>(kMethods)},
      {Py_tp_getset, const_cast<PyGetSetDef*>(kComputed)},
      {0, nullptr},
  };
  PyType_Spec spec{"ringsync._native.Shortcut", sizeof(Shortcut), 0,
                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                       Py_TPFLAGS_DISALLOW_INSTANTIATION,
                   slots};
  return nb::steal(PyType_FromSpec(&spec));
}

nb::object make_shortcut(nb::handle type, nb::handle function, nb::handle engine_cell,
                         int collective, nb::handle op_type, nb::handle group_type,
                         nb::handle handle_type, bool is_list) {
  if (!PyCell_Check(engine_cell.ptr())) {
    throw ConfigError("[shortcut] the engine lies in no cell. Correct the caller.");
  }
  auto* const made = reinterpret_cast<PyTypeObject*>(type.ptr());
  nb::object object = nb::steal(made->tp_alloc(made, 0));
  if (!object.is_valid()) throw nb::python_error();
  Shortcut& self = shortcut_of(object.ptr());
  self.call = &call_shortcut;
  self.function = Py_NewRef(function.ptr());
  self.place = nb::object(function.attr("__name__")).release().ptr();
  self.engine_cell = Py_NewRef(engine_cell.ptr());
  self.op_type = Py_NewRef(op_type.ptr());
  self.group_type = Py_NewRef(group_type.ptr());
  self.handle_type = Py_NewRef(handle_type.ptr());
  const auto defaults = nb::borrow<nb::dict>(function.attr("__kwdefaults__"));
  for (size_t i = 0; i < kKeywords; ++i) {
    if (!defaults.contains(kKeywordNames[i])) continue;
    self.keywords[i] = PyUnicode_InternFromString(kKeywordNames[i]);
  }
  self.positional_count = nb::cast<size_t>(function.attr("__code__").attr("co_argcount"));
  self.collective = static_cast<Collective>(collective);
  self.op = Terms().op;
  if (self.keywords[kOp] != nullptr &&
      !take_op(self, defaults[kKeywordNames[kOp]].ptr(), self.op)) {
    throw ConfigError("[shortcut] the function's own op is none. Correct the caller.");
  }
  self.form = is_list ? Form::kList : Form::kSingle;
  return object;
}

}  // namespace

void bind_shortcut(nb::module_& module) {
  const nb::object type = make_type();
  if (!type.is_valid()) throw nb::python_error();
  module.attr("Shortcut") = type;
  module.def(
      "make_shortcut",
      [type](nb::handle function, nb::handle engine_cell, int collective, nb::handle op_type,
             nb::handle group_type, nb::handle handle_type, bool is_list) {
        return make_shortcut(type, function, engine_cell, collective, op_type, group_type,
                             handle_type, is_list);
      },
      "function"_a, "engine_cell"_a, "collective"_a, "op_type"_a, "group_type"_a,
      "handle_type"_a.none(), "is_list"_a,
      "What makes the ordinary calls of a function itself, on the engine that the cell holds.");
}

}  // namespace ringsync
