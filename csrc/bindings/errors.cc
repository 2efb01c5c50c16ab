#include "bindings/bindings.h"

#include <system_error>

#include "circuit/evaluate.h"
#include "system/prover.h"
#include "transcript/channel.h"

namespace assay::bindings {
namespace {

// Python classes of the errors; alive as long as the module.
struct Classes {
  py::object rejected, malformed, not_provable, evaluation;
};
Classes* classes = nullptr;

void raise(const py::object& cls, const py::tuple& arguments) {
  PyErr_SetObject(cls.ptr(), arguments.ptr());
}

void translate(std::exception_ptr p) {
  try {
    if (p) std::rethrow_exception(p);
  } catch (const Rejected& e) {
    raise(classes->rejected, py::make_tuple(e.code, e.segment, e.relation, e.round, e.message));
  } catch (const Malformed& e) {
    raise(classes->malformed, py::make_tuple(e.message));
  } catch (const NotProvable& e) {
    raise(classes->not_provable, py::make_tuple(e.segment, e.relation, e.message));
  } catch (const EvaluationError& e) {
    raise(classes->evaluation, py::make_tuple(e.relation, e.message));
  } catch (const std::system_error& e) {
    raise(py::reinterpret_borrow<py::object>(PyExc_OSError), py::make_tuple(e.code().value(), e.what()));
  }
}

}  // namespace

void add_errors(py::module_& m) {
  const auto make = [&](const char* name, const char* doc) {
    const std::string full = std::string("assay._core.") + name;
    py::object cls = py::reinterpret_steal<py::object>(PyErr_NewExceptionWithDoc(full.c_str(), doc, nullptr, nullptr));
    m.attr(name) = cls;
    return cls;
  };
  classes = new Classes{  // never freed: exceptions may be translated until the interpreter ends
      make("Rejected", "A proof was rejected: args are (code, segment, relation, round, message)."),
      make("Malformed", "A circuit or statement is not well-formed: args are (message,)."),
      make("NotProvable", "The statement does not hold: args are (segment, relation, message)."),
      make("EvaluationError", "A value fits no tensor: args are (relation, message)."),
  };
  py::register_exception_translator(&translate);
}

}  // namespace assay::bindings
