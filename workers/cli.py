"""`nocturne`: the command line. Heavy imports happen inside the commands, so that --help is quick."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from consolidation.errors import NocturneInputError, Stopped

OK, BAD_INPUT, REJECTED, INTERRUPTED = 0, 2, 3, 130
_EXIT_CODES = (
    "Exit codes: 0 the model improved or nothing changed, 3 rejected (keep the old checkpoint), 2 bad input."
)

app = typer.Typer(
    name="nocturne",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Managed sleep learning: put a model to sleep and take home one that forgets less.",
)

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else.")
]


def _finish(
    work: Callable[[], dict[str, Any]], *, as_json: bool, say: Callable[[dict[str, Any]], str]
) -> None:
    """Run the work, print its result, and leave with the exit code that belongs to it."""
    try:
        result = work()
    except NocturneInputError as error:
        if as_json:
            typer.echo(json.dumps({"error": error.to_json()}))
        typer.echo(f"{error.message} [{error.code}]", err=True)
        raise typer.Exit(BAD_INPUT) from None
    except (KeyboardInterrupt, Stopped):
        typer.echo("Interrupted. Nothing was written.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(json.dumps(result) if as_json else say(result))
    raise typer.Exit(REJECTED if result["verdict"] == "rejected" else OK)


def _summary(result: dict[str, Any]) -> str:
    """Before and after in three lines."""

    def percent(when: str, name: str) -> str:
        value = result[when].get(name)
        return "     -" if value is None else f"{100 * value:5.1f}%"

    rows = [("score", "acc"), ("retention", "retention"), ("forgetting", "forgetting")]
    lines = ["              before   after"]
    lines += [
        f"{word:<12}  {percent('before', name)}  {percent('after', name)}"
        for word, name in rows
        if result["after"].get(name) is not None
    ]
    lines.append(f"verdict: {result['verdict']} ({result['seconds']:.1f} s)")
    lines += [f"  {reason}" for reason in result.get("reasons", [])]
    lines += [f"note: {note}" for note in result.get("notes", [])]
    if "checkpoint" in result:
        lines.append(f"written: {result['checkpoint']}")
    return "\n".join(lines)


def _transform(scale: float | None, mean: float | None, sd: float | None) -> dict[str, float] | None:
    """What the options say about the inputs; None when they say nothing, so that the files may."""
    if scale is None and mean is None and sd is None:
        return None
    return {
        "scale": 1.0 if scale is None else scale,
        "mean": 0.0 if mean is None else mean,
        "sd": 1.0 if sd is None else sd,
    }


@app.command(epilog=_EXIT_CODES)
def demo(as_json: Json = False) -> None:
    """A small model learns five tasks in turn, forgets, sleeps and remembers. No server, no data needed.

    Example: nocturne demo --json
    """
    from workers.progress import NightProgress

    def work() -> dict[str, Any]:
        from consolidation.demo.headless import run_demo

        with NightProgress(quiet=as_json) as progress:
            return run_demo(on_event=progress)

    _finish(work, as_json=as_json, say=_summary)


@app.command(epilog=_EXIT_CODES)
def sleep(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="A safetensors file, a GGUF, weights of torch.save (.pt, .pth, .bin, .ckpt), or a folder "
            "with one of these as .zip, .tar or .tar.gz."
        ),
    ],
    memories: Annotated[
        Path,
        typer.Option(
            help="Folder of memories, one file a task: .npz, .jsonl, .csv, .txt, .parquet; text also as .gz."
        ),
    ],
    probes: Annotated[Path, typer.Option(help="Folder of probes: files of the same names, held-out rows.")],
    out: Annotated[
        Path, typer.Option(help="Folder for model.safetensors and report.json; made when missing.")
    ],
    reference: Annotated[
        Path | None, typer.Option(help="The model before its last training, for merging.")
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            help="For a LoRA adapter: the model that it was trained on, in any form that a checkpoint may "
            "have. It is read and stays as it is; the result is an adapter again."
        ),
    ] = None,
    awake: Annotated[
        Path | None,
        typer.Option(
            help="The file of records that the model has just learned from (the last task), while you "
            "have it: some of its records stand in for that task's memories."
        ),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="A preset (nap, night, deep, paper, literal) or a JSON file.")
    ] = "night",
    family: Annotated[
        str | None, typer.Option(help="When the file does not say: mlp, cnn or vision (ResNet-18, timm).")
    ] = None,
    activation: Annotated[
        str | None, typer.Option(help="When the file does not say; for example relu.")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            help="What else the file does not say, as NAME=VALUE: input=3x32x32, layout=hwc, pooling=max, "
            "architecture=timm/vit_tiny_patch16_224, classes=10. May be given several times."
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            help="Model input = (x * scale - mean) / sd. Default: what the files say, else 1, 0, 1."
        ),
    ] = None,
    mean: Annotated[float | None, typer.Option(help="See --scale.")] = None,
    sd: Annotated[float | None, typer.Option(help="See --scale.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="Which column of texts is what, as PART=COLUMN, when the names do not tell: text=sentence, "
            "text2=reply, label=mood; prompt, completion; question, context, answers. Several times."
        ),
    ] = None,
    length: Annotated[
        int, typer.Option(min=2, help="Tokens of a block that long texts are cut into (language models).")
    ] = 128,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Cut texts that the model cannot read whole.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Put one checkpoint to sleep, here and now, without a server.

    Tasks are the files of the folders, in the order of their names: that is the order of learning.

    Example: nocturne sleep model.safetensors --memories memories/ --probes probes/ --out night/ --recipe nap

    An adapter: nocturne sleep adapter.zip --base model.zip --memories memories/ --probes probes/ --out night/
    """
    from workers.progress import NightProgress

    def work() -> dict[str, Any]:
        from workers.sleep_once import SleepRequest, sleep_once

        request = SleepRequest(
            checkpoint=checkpoint,
            memories=memories,
            probes=probes,
            out=out,
            reference=reference,
            base=base,
            awake=awake,
            recipe=recipe,
            family=family,
            config=_fields(field or [], activation),
            transform=_transform(scale, mean, sd),
            device=device,
            mapping=_pairs(column or [], "label=sentiment"),
            length=length,
            truncate=truncate,
        )
        with NightProgress(quiet=as_json) as progress:
            return sleep_once(request, on_event=progress)

    _finish(work, as_json=as_json, say=_summary)


def _fields(given: list[str], activation: str | None) -> dict[str, str]:
    """NAME=VALUE options as a table. Raises BadParameter for one without a name or value."""
    return ({"activation": activation} if activation else {}) | _pairs(given, "input=3x32x32")


def _pairs(given: list[str], example: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE, for example {example}.")
        fields[name.strip()] = value.strip()
    return fields


@app.command()
def worker(
    device: Annotated[str, typer.Option(help="cpu, mps, cuda or cuda:1; one worker serves one.")] = "",
    index: Annotated[str, typer.Option(help="Tells two workers of one device apart on the fleet page.")] = "",
) -> None:
    """Run one nights worker in the foreground, on the database that DATABASE_URL names.

    Example: DATABASE_URL=postgresql://db/nocturne CELERY_BROKER_URL=redis://broker/0 nocturne worker
    """
    if device:
        os.environ["NOCTURNE_DEVICE"] = device
    if index:
        os.environ["NOCTURNE_WORKER_INDEX"] = index
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.config.settings")
    from workers.launcher.errors import LauncherError
    from workers.launcher.parts import nights_command

    try:
        arguments = nights_command(
            os.environ.get("NOCTURNE_DEVICE") or "cpu", os.environ.get("NOCTURNE_WORKER_INDEX", "")
        )
    except LauncherError as error:
        raise typer.BadParameter(error.message, param_hint="--device") from None
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606  (no shell; our own interpreter)


@app.command()
def workers(as_json: Json = False) -> None:
    """Show who works on what: state, device, current cycle and heartbeat of every worker of the site.

    Example: nocturne workers --json
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.config.settings")
    from workers import fleet

    def show() -> None:
        if as_json:
            typer.echo(json.dumps(fleet.fleet_json()))
        else:
            fleet.fleet_table()

    _ask(show, as_json=as_json)


@app.command()
def drain(
    name: Annotated[str, typer.Argument(help="The worker's name, as `nocturne workers` shows it.")],
    undo: Annotated[bool, typer.Option("--undo", help="Let it take cycles again.")] = False,
    as_json: Json = False,
) -> None:
    """Let a worker take nothing new; what it runs goes on to its end. It stays so when it is started again.

    Example: nocturne drain lab-a-cuda-0

    Example: nocturne drain lab-a-cuda-0 --undo
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.config.settings")
    from workers import fleet

    def ask() -> None:
        done = fleet.drain(name, undo=undo)
        if as_json:
            typer.echo(json.dumps(done))
        elif not done["draining"]:
            typer.echo(f"{done['name']} takes cycles again.")
        elif done["runs"]:
            typer.echo(f"{done['name']} takes nothing new; {done['runs']} goes on to its end.")
        else:
            typer.echo(f"{done['name']} takes nothing new and runs nothing: it can be stopped.")

    _ask(ask, as_json=as_json)


def _ask(work: Callable[[], None], *, as_json: bool) -> None:
    """Do it, or say in a sentence why not. Exit code 2 then."""
    try:
        work()
    except NocturneInputError as error:
        if as_json:
            typer.echo(json.dumps({"error": error.to_json()}))
        typer.echo(f"{error.message} [{error.code}]", err=True)
        raise typer.Exit(BAD_INPUT) from None


@app.command()
def health() -> None:
    """Say whether the nights worker of this machine and device is well. Exit codes: 0 well, 1 not.

    Example: NOCTURNE_DEVICE=cuda:0 nocturne health
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.config.settings")
    from workers.health import main as ask

    raise typer.Exit(ask())


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def up(context: typer.Context) -> None:
    """Start everything on this machine: database, web, workers, clock. Same as `python manage.py up`.

    Example: nocturne up --port 8080
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.config.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(["nocturne", "up", *context.args])


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
