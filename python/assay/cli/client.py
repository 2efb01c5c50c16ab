"""challenge, pin, verify: the client's commands. They need no model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.output import amount, emit, note
from assay.cli.provider import numbers
from assay.cli.verdicts import member_lines, routing_lines
from assay.errors import PublicFileError, RequestError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from assay.public import PublicModel


def challenge(
    record: Path,
    out: Path,
    *,
    scope: str,
    num_layers: int | None,
    layers: str | None,
    num_positions: int | None,
    positions: str | None,
    nonce: str | None,
    as_json: bool,
) -> None:
    """`assay challenge`."""
    from assay.audit.challenge import challenge as draw
    from assay.audit.challenge import parse_nonce
    from assay.storage import write_file

    asked = draw(
        record,
        scope=scope,
        num_layers=num_layers,
        layers=None if layers is None else numbers(layers, "layers"),
        num_positions=num_positions,
        positions=None if positions is None else numbers(positions, "positions"),
        nonce=None if nonce is None else parse_nonce(nonce),
    )
    write_file(out, asked.encoded)
    payload = {
        "challenge": str(out),
        "scope": asked.scope,
        **asked.asked,
        "drawn": asked.drawn,
        "nonce": asked.nonce.hex(),
        "record_root": asked.record.hash.hex(),
    }
    how = "" if not asked.asked else " (drawn)" if asked.drawn else " (named)"
    emit(as_json, payload, [f"{asked.described}{how}: {out}"])


def pin(
    public: Path,
    *,
    out: Path | None,
    before: Path | None,
    proofs: Path | None,
    public_hash: str | None,
    threads: int,
    as_json: bool,
) -> None:
    """`assay pin`."""
    from assay import _core
    from assay.verify.pin import PinFile, pin_public

    target = out or before
    if target is None:
        raise RequestError("no-pin", "say where to write the pin", hint="--out FILE, or --pin FILE to follow")
    if target != before and target.exists():
        raise RequestError(
            "pin-exists", f"{target} is there already", hint="--pin FILE follows a pin that was made before"
        )
    _core.set_threads(threads)
    earlier = None if before is None else PinFile.of(before).read()
    model = None if public_hash is None else parse_hash(public_hash)
    start = time.perf_counter()
    made, verified = pin_public(public, proofs=proofs, before=earlier, model=model)
    seconds = time.perf_counter() - start
    PinFile.of(target).make(made, earlier)
    lines = [
        f"{found.kind} proof of epoch {found.epoch}: verified, {found.security_bits:.1f} bits"
        for found in verified
    ]
    lines += [
        f"pinned in {target}: epoch {made.epoch}, public file {made.chain[-1].hex()}",
        f"  epoch 0 was {made.model.hex()}",
    ]
    payload = {
        "pin": str(target),
        **made.to_dict(),
        "verified": [found.to_dict() for found in verified],
        "verify_s": seconds,
    }
    emit(as_json, payload, lines)


def parse_hash(text: str) -> bytes:
    """A SHA-256 given by hand, 64 hexadecimal digits."""
    try:
        raw = bytes.fromhex(text)
    except ValueError as error:
        raise RequestError("bad-hash", "a hash is 64 hexadecimal digits") from error
    if len(raw) != 32:
        raise RequestError("bad-hash", "a hash is 64 hexadecimal digits")
    return raw


def verify(
    proof: Path,
    *,
    public: Path,
    challenges: list[Path],
    any_statement: bool,
    tokens: str | None,
    require_served: bool,
    max_routing_distance: float | None,
    routing: Path | None,
    public_hash: str | None,
    pin: Path | None,
    insecure_no_hiding: bool,
    reference: bool,
    threads: int,
    as_json: bool,
) -> None:
    """`assay verify`."""
    model = _pinned(public, public_hash)
    policy: dict[str, Any] = {
        "tokens": None if tokens is None else numbers(tokens, "tokens"),
        "require_served": require_served,
        "max_routing_distance": max_routing_distance,
        "routing": None if routing is None else _routing(routing),
        "insecure_no_hiding": insecure_no_hiding,
    }
    if reference:
        if pin is not None:
            raise RequestError("pin-and-reference", "a pin is brought up to date by the fast verifier alone")
        asked = [] if any_statement else challenges
        _verify_by_reference(proof, model, asked, policy, as_json=as_json)
        return
    from assay import _core
    from assay.verify import verify as check

    _core.set_threads(threads)
    start = time.perf_counter()
    found = check(proof, public=model, challenge=challenges, any_statement=any_statement, pin=pin, **policy)
    seconds = time.perf_counter() - start
    if not found.hiding:
        note("INSECURE: this proof does not hide; whoever reads it may learn weights and activations")
    if found.ledger_went_back:
        note(
            f"warning: the provider's ledger went back: this is its proof {found.counter}, and another proof "
            "with that number or a higher one was verified before. It was probably restored from a backup"
        )
    if any_statement:
        note("note: nothing was compared with a challenge; the statement is the proof's own")
    lines = [
        f"accepted: {_counted(found.statements)} about the model {found.public_hash.hex()[:16]}",
        f"  epoch {found.epoch}, proof {found.counter} of the provider's ledger"
        f"{'' if found.hiding else '; INSECURE: not hiding'}",
        f"  {found.profile}: {found.security_bits:.1f} bits; {amount(found.proof_bytes)}",
        *(f"    {name}: {bits:.1f}" for name, bits in found.security_terms.items()),
        *(line for member in found.members for line in member_lines(member)),
    ]
    if any_statement:
        lines.append("  nothing was compared: this is the statement that the proof itself names")
    emit(as_json, {**found.to_dict(), "verify_s": seconds}, lines)


def _counted(statements: Sequence[object]) -> str:
    return f"{len(statements)} statement{'' if len(statements) == 1 else 's'}"


def _pinned(public: Path, public_hash: str | None) -> PublicModel:
    from assay.public import PublicModel

    model = PublicModel.load(public)
    if public_hash is not None and public_hash.lower() != model.hash.hex():
        raise PublicFileError("public-not-pinned", f"{public} is not the public file that was pinned")
    return model


def _routing(path: Path) -> npt.NDArray[np.int32]:
    from assay.audit.routing import CAP, read_routing
    from assay.storage import read_file

    return read_routing(read_file(path, CAP, "routing"), str(path))


def _verify_by_reference(
    proof: Path,
    model: PublicModel,
    challenges: list[Path],
    policy: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """The verifier in plain Python, without the extension."""
    from assay.reference import verify as check

    if not challenges:
        raise RequestError("no-challenge", "the reference verifier always compares with a challenge")
    start = time.perf_counter()
    found = check(proof, public=model, challenge=challenges, **policy)
    seconds = time.perf_counter() - start
    payload = {
        "verdict": "accepted",
        "verifier": "reference",
        "members": [
            {name: member[name] for name in ("scope", "layers", "positions") if name in member}
            for member in found.fields["members"]
        ],
        "totals": list(found.body.totals),
        "routing_distances": {
            layer.segment: {"raw": layer.raw, "fraction": layer.fraction, "logits": float(layer.distance)}
            for layer in found.routing
        },
        "profile": found.fields["profile"],
        "hiding": found.fields["hiding"],
        "insecure": not found.fields["hiding"],
        "epoch": model.epoch,
        "counter": found.body.counter,
        "security_bits": found.body.security_bits,
        "security_terms": found.body.security_terms,
        "public_hash": model.hash.hex(),
        "record_roots": [member["record_root"].hex() for member in found.fields["members"]],
        "verify_s": seconds,
    }
    segments = [segment["name"] for member in found.fields["members"] for segment in member["segments"]]
    lines = [
        f"accepted by the reference verifier: {', '.join(segments)} of the model {model.hash.hex()[:16]}",
        f"  {found.fields['profile']}: {found.body.security_bits:.1f} bits; {seconds:.1f} s",
        *routing_lines((layer.segment, layer.raw, float(layer.distance)) for layer in found.routing),
    ]
    emit(as_json, payload, lines)
