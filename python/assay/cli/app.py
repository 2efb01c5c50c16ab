"""The commands and their options; what they do is imported when they run, so that starting is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

app = typer.Typer(
    name="assay",
    help="Prove that a committed language model produced an output, and check it without the model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
circuit_app = typer.Typer(help="Look at circuits.", no_args_is_help=True)
bench_app = typer.Typer(help="Measure.", no_args_is_help=True)
ledger_app = typer.Typer(help="Look at ledgers.", no_args_is_help=True)
app.add_typer(circuit_app, name="circuit")
app.add_typer(bench_app, name="bench")
app.add_typer(ledger_app, name="ledger")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Threads = Annotated[int, typer.Option(min=0, help="Threads to use; 0: one for each processor.")]
Registered = Annotated[Path, typer.Argument(metavar="DIR", help="A registered model.")]
Layers = Annotated[Optional[str], typer.Option(help="Layers by number, separated by commas.")]  # noqa: UP045
PublicHash = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="The SHA-256 that the public file (`pin`: of epoch 0) must have, in hexadecimal."),
]
PublicFile = Annotated[Path, typer.Option(metavar="public.assay", help="The public file that you pinned.")]
_CHALLENGES = typer.Option(metavar="FILE", help="The challenge that you drew; of a batch each, in its order.")
Length = Annotated[int, typer.Option(min=1, help="How many tokens.")]
OtherProfile = Annotated[Optional[str], typer.Option(help="Another profile than the model's.")]  # noqa: UP045
Runs = Annotated[int, typer.Option(min=1, help="Median of so many.")]
InsecureNoHiding = Annotated[
    bool,
    typer.Option(
        "--insecure-no-hiding",
        help="Permit a proof that can reveal weights, for tests and comparisons.",
    ),
]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version.")] = False,
    json: Json = False,
) -> None:
    """Prove that a committed language model produced an output, and check it without the model."""
    if version:
        import assay
        from assay.cli.output import emit

        emit(json, {"version": assay.__version__}, [assay.__version__])
        raise typer.Exit


@app.command()
def register(
    model: Annotated[
        str,
        typer.Argument(
            help="A GGUF file, a Hugging Face folder, or gemma3-270m, smollm2-135m, all-minilm-l6-v2."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to make.")],
    profile: Annotated[str, typer.Option(help="provable-128 or provable-100.")] = "provable-128",
    storage: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="stored (codewords on disk) or recompute; default: by size and free disk."),
    ] = None,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Turn a model into its exact integer model, commit it, and prove that its weights are in range.

    A registration that was cut off resumes.
    """
    from assay.cli import provider

    provider.register(model, out, profile=profile, storage=storage, threads=threads, as_json=json)


@app.command()
def refresh(
    dir: Registered,
    restored: Annotated[
        bool,
        typer.Option(
            "--restored", help="The folder was restored from a backup: its epoch proves nothing more."
        ),
    ] = False,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Commit a registered model's weights anew, in a new epoch, and prove that they are the same.

    A refresh that was cut off resumes. After any restore from a backup a refresh is mandatory; a ledger that
    is older than its mark is found without --restored.
    """
    from assay.cli import provider

    provider.refresh(dir, restored=restored, threads=threads, as_json=json)


@app.command()
def record(
    dir: Registered,
    out: Annotated[Path, typer.Option(metavar="REQ", help="Folder to make for the request.")],
    prompt: Annotated[Optional[str], typer.Option(help="The text.")] = None,  # noqa: UP045
    tokens: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Token ids separated by commas, instead of a text."),
    ] = None,
    served: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="What was served: ids and logits, both [tokens, K], as .npz, .safetensors or JSON.",
        ),
    ] = None,
    routing: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="Which experts ran: ids [layers, tokens, K] as .npy; default: the exact model's own.",
        ),
    ] = None,
    public_routing: Annotated[
        bool,
        typer.Option(
            "--public-routing", help="Log publicly which experts ran (REQ/routing.npy); proofs say so."
        ),
    ] = False,
    top_k: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Ids to log at each position; default: 20, or as many as were served."),
    ] = None,
    log: Annotated[
        bool, typer.Option("--log/--no-log", help="Log ids, so that forward passes can be asked for.")
    ] = True,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Run the exact model on a prompt, commit the boundaries between its layers and a log of ids."""
    from assay.cli import provider

    provider.record(
        dir,
        out,
        prompt=prompt,
        tokens=tokens,
        served=served,
        routing=routing,
        public_routing=public_routing,
        top_k=top_k,
        log=log,
        threads=threads,
        as_json=json,
    )


@app.command()
def challenge(
    record: Annotated[Path, typer.Argument(metavar="REQ/record.assay", help="The public head of a record.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the challenge.")],
    scope: Annotated[
        str,
        typer.Option(
            help="layers; forward: from the tokens to the logits at some positions; encode: to the pooled "
            "vector of an encoder."
        ),
    ] = "layers",
    num_layers: Annotated[Optional[int], typer.Option(help="How many layers to draw.")] = None,  # noqa: UP045
    layers: Layers = None,
    num_positions: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="How many positions to draw."),
    ] = None,
    positions: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Positions by number, separated by commas; 0 is the first token's."),
    ] = None,
    nonce: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="64 hexadecimal digits; default: random."),
    ] = None,
    json: Json = False,
) -> None:
    """Draw layers or positions of a record at random, bound to its root. Needs no model."""
    from assay.cli import client

    client.challenge(
        record,
        out,
        scope=scope,
        num_layers=num_layers,
        layers=layers,
        num_positions=num_positions,
        positions=positions,
        nonce=nonce,
        as_json=json,
    )


@app.command()
def prove(
    dir: Registered,
    req: Annotated[Path, typer.Argument(metavar="REQ", help="A recorded request.")],
    challenge: Annotated[Path, typer.Option(metavar="FILE", help="The verifier's challenge.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the proof.")],
    also: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(metavar="REQ FILE", help="Another request and its challenge, in the same proof."),
    ] = None,
    work: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FOLDER", help="Where to keep what a run that was cut off resumes from."),
    ] = None,
    insecure_no_hiding: InsecureNoHiding = False,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Prove what challenges ask for, in the epoch that the records name, as one proof.

    A proof that was cut off resumes with the same arguments.
    """
    from assay.cli import proving

    proving.prove(
        dir,
        [(req, challenge), *_pairs(also or [])],
        out,
        work=work,
        insecure_no_hiding=insecure_no_hiding,
        threads=threads,
        as_json=json,
    )


def _pairs(paths: list[Path]) -> list[tuple[Path, Path]]:
    """Requests and challenges in turn, as pairs."""
    return list(zip(paths[::2], paths[1::2], strict=True))


@app.command()
def pin(
    public: Annotated[Path, typer.Argument(metavar="public.assay", help="The provider's public file.")],
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Where to write the pin; default: the one given with --pin."),
    ] = None,
    pin: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="A pin made earlier, to follow from its epoch on."),
    ] = None,
    proofs: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FOLDER", help="Where proofs and earlier public files are, if not beside it."),
    ] = None,
    public_hash: PublicHash = None,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Verify a model's registration proof, or the refresh proofs since a pin, and pin its public file."""
    from assay.cli import client

    client.pin(
        public, out=out, before=pin, proofs=proofs, public_hash=public_hash, threads=threads, as_json=json
    )


@app.command()
def statement(
    public: PublicFile,
    challenge: Annotated[list[Path], _CHALLENGES],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the statement.")],
    proof: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE", help="The proof, for what it opens of the record: tokens, log, experts."
        ),
    ] = None,
    insecure_no_hiding: InsecureNoHiding = False,
    json: Json = False,
) -> None:
    """Write what a proof has to be about, for the program `assay-verify`."""
    from assay.cli.statement import statement as write

    write(public, challenge, out, proof=proof, insecure_no_hiding=insecure_no_hiding, as_json=json)


@app.command()
def verify(
    proof: Annotated[Path, typer.Argument(metavar="FILE", help="The proof.")],
    public: PublicFile,
    challenge: Annotated[Optional[list[Path]], _CHALLENGES] = None,  # noqa: UP045
    any_statement: Annotated[
        bool, typer.Option("--any-statement", help="Show the proof's own statement and compare nothing.")
    ] = False,
    tokens: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Token ids separated by commas, which a proven forward pass or encoding must be of."
        ),
    ] = None,
    require_served: Annotated[
        bool,
        typer.Option("--require-served", help="Reject a proof that says nothing of served logits."),
    ] = False,
    max_routing_distance: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            metavar="D",
            help="Reject a layer whose experts are further from its router's own choice, in units of the "
            "router's logits, summed over the tokens; 0: the router's own only.",
        ),
    ] = None,
    routing: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="Reject a proof unless this is its record's public log of experts (REQ/routing.npy).",
        ),
    ] = None,
    public_hash: PublicHash = None,
    pin: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="The pin that the public file must agree with (`assay pin`)."),
    ] = None,
    insecure_no_hiding: InsecureNoHiding = False,
    reference: Annotated[
        bool, typer.Option("--reference", help="Check with the slow verifier in plain Python instead.")
    ] = False,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Check a proof against a public file and a challenge. Exit code 0: accepted; 1: rejected."""
    from assay.cli import client

    client.verify(
        proof,
        public=public,
        challenges=challenge or [],
        any_statement=any_statement,
        tokens=tokens,
        require_served=require_served,
        max_routing_distance=max_routing_distance,
        routing=routing,
        public_hash=public_hash,
        pin=pin,
        insecure_no_hiding=insecure_no_hiding,
        reference=reference,
        threads=threads,
        as_json=json,
    )


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A file of Assay's, of any kind, or a registered model.")],
    public: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="public.assay",
            help="Of a proof: its model, for the bits; default: the public file beside the proof.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show what a file says; of a proof, if its public file is there, the bits."""
    from assay.cli import inspecting

    inspecting.inspect(file, public=public, as_json=json)


@circuit_app.command("show")
def circuit_show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A registered model, a config.json or its folder, or gemma3: Gemma 3 270M."
        ),
    ],
    layer: Annotated[int, typer.Option(min=0)] = 0,
    tokens: Length = 64,
    json: Json = False,
) -> None:
    """Print a layer's relations with their bounds, and counts of lookups and committed elements."""
    from assay.cli import circuits

    circuits.show(name, layer=layer, tokens=tokens, as_json=json)


@app.command("estimate")
def estimate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A config.json or its folder, a registered model, a model file, or gemma3: Gemma 3 270M.",
        ),
    ],
    tokens: Length = 64,
    cores: Annotated[int, typer.Option(min=1, help="Cores to prove on.")] = 2,
    batch: Annotated[int, typer.Option(min=1, help="Requests in one proof.")] = 1,
    positions: Annotated[int, typer.Option(min=1, help="Positions whose logits are proven.")] = 8,
    served: Annotated[bool, typer.Option(help="Distances of served logits, not the logits alone.")] = True,
    storage: Annotated[str, typer.Option(help="stored (codewords on disk) or recompute.")] = "recompute",
    json: Json = False,
) -> None:
    """Say what registering a model, recording, proving and verifying a forward pass of it will take."""
    from assay.cli import estimating

    estimating.run(
        model,
        tokens=tokens,
        cores=cores,
        requests=batch,
        positions=positions,
        served=served,
        storage=storage,
        as_json=json,
    )


@ledger_app.command("show")
def ledger_show(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A registered model, a record's folder, or a ledger file.")
    ],
    json: Json = False,
) -> None:
    """Print how many columns were opened in each epoch, and how many proofs are left."""
    from assay.cli import ledger

    ledger.show(path, as_json=json)


@bench_app.command("layer")
def bench_layer(
    dir: Registered,
    tokens: Length = 64,
    layer: Annotated[int, typer.Option(min=0)] = 0,
    profile: OtherProfile = None,
    threads: Threads = 0,
    runs: Runs = 3,
    accuracy: Annotated[bool, typer.Option(help="Compare with the float model too (takes longer).")] = True,
    model: Annotated[str, typer.Option(help="The model file, for --accuracy.")] = "gemma3-270m",
    json: Json = False,
) -> None:
    """Record, prove and verify one layer, measured."""
    from assay.cli import measuring

    measuring.layer(
        dir,
        tokens=tokens,
        layer=layer,
        profile=profile,
        threads=threads,
        runs=runs,
        model=model if accuracy else None,
        as_json=json,
    )


@bench_app.command("forward")
def bench_forward(
    dir: Registered,
    tokens: Length = 64,
    num_positions: Annotated[int, typer.Option(min=1)] = 8,
    profile: OtherProfile = None,
    threads: Threads = 0,
    runs: Runs = 1,
    batch: Annotated[
        int, typer.Option(min=1, help="Statements of a second proof, for the cost of a further one.")
    ] = 1,
    served: Annotated[bool, typer.Option(help="Distances of served logits, not the logits alone.")] = True,
    model: Annotated[str, typer.Option(help="The model file, for the time of inference.")] = "gemma3-270m",
    json: Json = False,
) -> None:
    """Record, prove and verify one forward pass, measured, beside the float model's prefill."""
    from assay.cli import measuring

    measuring.forward(
        dir,
        tokens=tokens,
        positions=num_positions,
        profile=profile,
        threads=threads,
        runs=runs,
        batch=batch,
        served=served,
        model=model,
        as_json=json,
    )


@app.command()
def doctor(json: Json = False) -> None:
    """Say what this machine has, and try the core on a small proof."""
    from assay.cli import doctor as checks

    checks.run(as_json=json)


@app.command()
def demo(
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Register Gemma 3 270M, record, prove two layers, verify elsewhere; then cheat, and be caught."""
    from assay.cli import demo as road

    road.run(threads=threads, as_json=json)
