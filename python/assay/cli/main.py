"""Runs a command and turns whatever it raises into one message, or one JSON object, and an exit code."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from assay.errors import AssayError, InternalError, ModelError, StorageError, VerificationError

USAGE = 2
INTERNAL = 3
INTERRUPTED = 130
_OF_AN_EXTRA = {"gguf", "safetensors", "tokenizers", "torch", "transformers"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `assay` with these arguments (default: the process's) and returns its exit code."""
    return _flushed(_run(list(sys.argv[1:] if arguments is None else arguments)))


def _run(words: list[str]) -> int:
    as_json = "--json" in words
    try:
        from assay.cli.app import app

        code = app(args=_in_pairs(words), standalone_mode=False)
    except AssayError as error:
        return _report(error, as_json)
    except (KeyboardInterrupt, EOFError):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except SystemExit:  # the parser's answer to a closed pipe, with a code that would say "rejected"
        return USAGE
    except ModuleNotFoundError as error:
        if error.name not in _OF_AN_EXTRA:
            return _unexpected(error, as_json)
        return _report(_missing_package(error.name), as_json)
    except Exception as error:
        return _unexpected(error, as_json)
    return code if isinstance(code, int) else 0


def _in_pairs(words: list[str]) -> list[str]:
    """`--also A B` as `--also A --also B`: the parser has no option that takes two values and is repeated."""
    out: list[str] = []
    rest = iter(words)
    for word in rest:
        out.append(word)
        if word == "--also":
            out += [next(rest, ""), "--also", next(rest, "")]
    return out


def _flushed(code: int) -> int:
    """The code; a result that standard output did not take is no success."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that leaving does not fail too
        print(f"error [cannot-write]: standard output: {error.strerror}", file=sys.stderr)
        return code or USAGE
    return code


def _missing_package(name: str) -> ModelError:
    hint = "pip install 'assay[demo]'"
    return ModelError("missing-package", f"the package `{name}` is not installed", hint=hint)


def _unexpected(error: Exception, as_json: bool) -> int:
    """Wrong arguments (the parser's own exceptions), or a bug."""
    show = getattr(error, "format_message", None)
    if show is not None:
        if not as_json and hasattr(error, "show"):
            error.show()
            return USAGE
        return _report(AssayError("usage", show()), as_json)
    if type(error).__name__ in ("Abort", "Exit"):
        return int(getattr(error, "exit_code", INTERRUPTED))
    traceback.print_exc(file=sys.stderr)
    fault = InternalError(
        "internal", f"{type(error).__name__}: {error}", hint="this is a bug of Assay's: report it"
    )
    return _report(fault, as_json)


def _report(error: AssayError, as_json: bool) -> int:
    if as_json:
        verdict = {"verdict": "rejected"} if isinstance(error, VerificationError) else {}
        try:
            print_json({"ok": False, **verdict, "exit_code": error.exit_code, "error": error.to_dict()})
        except StorageError as lost:
            print(f"error [{lost.code}]: {lost}", file=sys.stderr)
        return error.exit_code
    rejected = isinstance(error, VerificationError)
    print(f"{'rejected' if rejected else 'error'} [{error.code}]: {error}", file=sys.stderr)
    if isinstance(error, VerificationError):
        where = [("segment", error.segment), ("relation", error.relation), ("round", error.round)]
        named = ", ".join(f"{name} {value}" for name, value in where if value is not None)
        if named:
            print(f"  in {named}", file=sys.stderr)
    if error.hint:
        print(f"  hint: {error.hint}", file=sys.stderr)
    return error.exit_code


def print_json(value: dict[str, Any]) -> None:
    """One object on standard output."""
    say(json.dumps(value, ensure_ascii=False, allow_nan=False))


def say(text: str) -> None:
    """A result on standard output; raises `StorageError` if that does not take it."""
    try:
        print(text, flush=True)
    except OSError as error:
        raise StorageError("cannot-write", f"standard output: {error.strerror}") from error
