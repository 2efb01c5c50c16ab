"""inspect: what a file of ours says, of any kind; the bits of a proof, the openings left of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.output import amount, emit
from assay.errors import RequestError
from assay.framing import Kind, kind_of
from assay.storage import read_file

if TYPE_CHECKING:
    from assay.public import PublicModel
    from assay.verify import VerifiedEpoch

_MOST_SHOWN = 32


def inspect(file: Path, *, public: Path | None, as_json: bool) -> None:
    """`assay inspect`."""
    folder = file if file.is_dir() else None
    if folder is not None:
        file = folder / ("public.assay" if (folder / "public.assay").exists() else "record.assay")
    from assay.proof import FILE_CAP

    data = read_file(file, FILE_CAP, "file")
    kind = kind_of(data)
    show: Callable[[bytes], dict[str, Any]] | None
    if kind is None:
        pinned = b'"assay pin"' in data[:256]
        show = (_pin if pinned else _challenge) if data.lstrip()[:1] == b"{" else None
        name = "pin" if pinned else "challenge"
    else:
        show, name = _SHOW[kind], kind.name.lower()
    if show is None:
        raise RequestError("unknown-file-kind", f"{file} is no file of Assay's")
    values = show(data)
    if kind is Kind.PROOF:
        values |= _security(data, file, public)
    if kind is Kind.PUBLIC and folder is not None:
        values |= _life(folder)
    values = _printable(values)
    lines = [f"{file}: {name}, {amount(len(data))}", *_lines(values, "  ")]
    emit(as_json, {"file": str(file), "kind": name, "bytes": len(data), **values}, lines)


def _security(data: bytes, file: Path, public: Path | None) -> dict[str, Any]:
    """The bits of a proof, counted by verifying it against its own statement; needs its public file."""
    unknown = {"security_bits": None, "security_terms": None, "budget_left": None}
    path = public or file.parent / "public.assay"
    if public is None and not path.is_file():
        return {**unknown, "checked": "nothing but the form: --public FILE counts the bits"}
    from assay.public import PublicModel
    from assay.verify import verify

    model = PublicModel.load(path)
    if _is_of_requests(data):
        found = verify(data, public=model, any_statement=True, insecure_no_hiding=True)
        bits, terms = found.security_bits, found.security_terms
    else:
        own = _epoch_proof(data, model, file.parent.parent)
        if own is None:
            return {**unknown, "checked": "nothing but the form: the epoch before is not at hand"}
        bits, terms = own.security_bits, own.security_terms
    checked = "the proof against its own statement and the public file"
    return {**unknown, "security_bits": bits, "security_terms": terms, "checked": checked}


def _epoch_proof(data: bytes, public: PublicModel, epochs: Path) -> VerifiedEpoch | None:
    """The proof of an epoch, verified; None if the public file before it is not in the folder of epochs."""
    from assay.public import PublicModel
    from assay.verify import verify_refresh, verify_registration

    if public.epoch == 0:
        return verify_registration(data, public=public)
    path = epochs / str(public.epoch - 1) / "public.assay"
    return verify_refresh(data, public=public, before=PublicModel.load(path)) if path.is_file() else None


def _is_of_requests(data: bytes) -> bool:
    """Whether a proof answers challenges; the others are those of epochs."""
    from assay.proof import ProofFile

    return "members" in ProofFile.from_bytes(data).statement


def _life(folder: Path) -> dict[str, Any]:
    """Of a registered model: the bits of its epoch's proof, and what its ledger says."""
    from assay.proof import FILE_CAP
    from assay.public import PublicModel
    from assay.trace import Ledger

    public = PublicModel.load(folder / "public.assay")
    path = folder / "epochs" / str(public.epoch) / f"{public.proof.hex()}.proof"
    proof = _epoch_proof(read_file(path, FILE_CAP, "proof"), public, folder / "epochs")
    values: dict[str, Any] = {"counter": None, "budget_left": None, "warnings": []}
    if proof is not None:
        values |= {"security_bits": proof.security_bits, "security_terms": proof.security_terms}
    if (folder / "ledger.db").is_file():
        with Ledger.open(folder / "ledger.db") as ledger:
            state = ledger.state()
        values |= {"counter": state.counter, "budget_left": state.current.openings_left}
        values["warnings"] = list(state.warnings)
    return values


def _public(data: bytes) -> dict[str, Any]:
    from assay.public import PublicModel

    public = PublicModel.from_bytes(data)
    values = public.to_dict()
    values["slots"] = len(values["slots"])
    values["parts"] = len(values["parts"])
    values["scales"]["layers"] = len(public.scales.layers)
    del values["scales"]["weights"]
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
    from assay.proof import VERSION, ProofFile

    proof = ProofFile.from_bytes(data)
    return {
        "version": VERSION,
        "profile": proof.profile,
        "hiding": proof.hiding,
        "insecure": not proof.hiding,
        "epoch": proof.statement.get("epoch"),
        "counter": proof.counter,
        "body_bytes": len(proof.body),
        "statement": _shortened(proof.statement),
    }


def _shortened(statement: dict[str, Any]) -> dict[str, Any]:
    members = statement.get("members")
    if isinstance(members, list) and all(isinstance(member, dict) for member in members):
        return {**statement, "members": [_shortened_member(member) for member in members[:_MOST_SHOWN]]}
    return _counted(statement, "segments")


def _shortened_member(member: dict[str, Any]) -> dict[str, Any]:
    record = member.get("record")
    if isinstance(record, dict):
        counts = {
            name: len(record[name]) for name in ("slots", "parts") if isinstance(record.get(name), list)
        }
        member = {**member, "record": {**record, **counts}}
    for name in ("segments", "tokens", "log", "experts"):
        member = _counted(member, name)
    return member


def _counted(values: dict[str, Any], name: str) -> dict[str, Any]:
    """A long list as its length."""
    found = values.get(name)
    too_long = isinstance(found, list) and len(found) > _MOST_SHOWN
    return {**values, name: len(found)} if too_long and found is not None else values


def _pin(data: bytes) -> dict[str, Any]:
    from assay.verify.pin import Pin

    pin = Pin.from_bytes(data)
    return {**pin.to_dict(), "chain": list(pin.chain)}


def _challenge(data: bytes) -> dict[str, Any]:
    from assay.audit.challenge import Challenge

    asked = Challenge.from_bytes(data)
    return {
        "scope": asked.scope,
        **asked.asked,
        "drawn": asked.drawn,
        "nonce": asked.nonce,
        "record_root": asked.record.hash,
        "tokens": asked.record.tokens,
        "public": asked.record.public,
    }


def _private(data: bytes) -> dict[str, Any]:
    return {"secret": "tokens, salt and key of a request: keep it"}


def _log(data: bytes) -> dict[str, Any]:
    return {"secret": "ids, logits and salts of a request: keep it"}


def _key(data: bytes) -> dict[str, Any]:
    return {"secret": "randomness of a commitment: keep it"}


def _attempt(data: bytes) -> dict[str, Any]:
    return {"secret": "seed and tickets of a proof under way: keep it"}


_SHOW: dict[Kind, Callable[[bytes], dict[str, Any]]] = {
    Kind.PUBLIC: _public,
    Kind.RECORD: _record,
    Kind.PROOF: _proof,
    Kind.PRIVATE: _private,
    Kind.LOG: _log,
    Kind.KEY: _key,
    Kind.ATTEMPT: _attempt,
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
