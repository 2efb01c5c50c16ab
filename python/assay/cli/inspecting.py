"""inspect: what a file of ours says, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.cli.output import amount, emit
from assay.errors import RequestError
from assay.framing import Kind, kind_of
from assay.storage import read_file


def inspect(file: Path, *, as_json: bool) -> None:
    """`assay inspect`."""
    if file.is_dir():
        file = file / ("public.assay" if (file / "public.assay").exists() else "record.assay")
    from assay.proof import FILE_CAP

    data = read_file(file, FILE_CAP, "file")
    kind = kind_of(data)
    show: Callable[[bytes], dict[str, Any]] | None
    if kind is None:
        show = _challenge if data.lstrip()[:1] == b"{" else None
        name = "challenge"
    else:
        show, name = _SHOW[kind], kind.name.lower()
    if show is None:
        raise RequestError("unknown-file-kind", f"{file} is no file of Assay's")
    values = _printable(show(data))
    lines = [f"{file}: {name}, {amount(len(data))}", *_lines(values, "  ")]
    emit(as_json, {"file": str(file), "kind": name, "bytes": len(data), **values}, lines)


def _public(data: bytes) -> dict[str, Any]:
    from assay.public import PublicModel

    public = PublicModel.from_bytes(data)
    values = public.to_dict()
    values["slots"] = len(values["slots"])
    values["parts"] = len(values["parts"])
    values["scales"] = {"layers": len(public.scales.layers)}
    return {"hash": public.hash, **values}


def _record(data: bytes) -> dict[str, Any]:
    from assay.audit.header import RecordHeader

    header = RecordHeader.from_bytes(data)
    return {
        "record_root": header.hash,
        **header.to_dict(),
        "slots": len(header.slots),
        "parts": len(header.parts),
    }


def _proof(data: bytes) -> dict[str, Any]:
    from assay.proof import ProofFile

    proof = ProofFile.from_bytes(data)
    return {
        "version": 0,
        "profile": proof.profile,
        "hiding": proof.hiding,
        "body_bytes": len(proof.body),
        "statement": _shortened(proof.statement),
        "checked": "nothing but the form",
    }


def _shortened(statement: dict[str, Any]) -> dict[str, Any]:
    record = statement.get("record")
    if not isinstance(record, dict):
        return statement
    counts = {name: len(record[name]) for name in ("slots", "parts") if isinstance(record.get(name), list)}
    return {**statement, "record": {**record, **counts}}


def _challenge(data: bytes) -> dict[str, Any]:
    from assay.audit.challenge import Challenge

    asked = Challenge.from_bytes(data)
    return {
        "layers": list(asked.layers),
        "drawn": asked.drawn,
        "nonce": asked.nonce,
        "record_root": asked.record.hash,
        "tokens": asked.record.tokens,
        "public": asked.record.public,
    }


def _private(data: bytes) -> dict[str, Any]:
    return {"secret": "tokens, salt and key of a request: keep it"}


def _key(data: bytes) -> dict[str, Any]:
    return {"secret": "randomness of a commitment: keep it"}


_SHOW: dict[Kind, Callable[[bytes], dict[str, Any]]] = {
    Kind.PUBLIC: _public,
    Kind.RECORD: _record,
    Kind.PROOF: _proof,
    Kind.PRIVATE: _private,
    Kind.KEY: _key,
}


def _printable(value: Any) -> Any:
    """Byte strings as hexadecimal."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: _printable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    return value


def _lines(values: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for name, value in values.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {value}")
    return lines
