// Two kinds of failure, kept apart: bad input from outside returns a Result with a coded error; a bug of
// ours throws ProgrammerError.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

namespace assay {

// A caller used an interface outside its contract.
class ProgrammerError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

inline void check(bool holds, const char* message) {
  if (!holds) throw ProgrammerError(message);
}

// `code` is stable and meant for programs ("merkle_root"); `message` is meant for people.
struct Error {
  std::string code;
  std::string message;
};

// A value, or the reason why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return std::holds_alternative<T>(state_); }
  explicit operator bool() const { return ok(); }

  const T& value() const& {
    require_value();
    return *std::get_if<T>(&state_);
  }
  T& value() & {
    require_value();
    return *std::get_if<T>(&state_);
  }
  T value() && {
    require_value();
    return std::move(*std::get_if<T>(&state_));
  }
  const Error& error() const {
    check(!ok(), "Result: error() of a success");
    return *std::get_if<Error>(&state_);
  }

 private:
  void require_value() const {
    if (ok()) return;
    const Error& e = *std::get_if<Error>(&state_);
    throw ProgrammerError("Result: value() of an error: " + e.code + ": " + e.message);
  }

  std::variant<T, Error> state_;
};

// Success carries nothing; Result<void>() is success.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const {
    check(!ok(), "Result: error() of a success");
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace assay

// Returns the error of `expression` from the enclosing function, if it has one.
#define ASSAY_RETURN_IF_ERROR(expression)                                                \
  do {                                                                                   \
    if (auto assay_status_ = (expression); !assay_status_) return assay_status_.error(); \
  } while (false)
