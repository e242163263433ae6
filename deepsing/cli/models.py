"""deepsing models: lists and fetches engines in addition to the built-in one."""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from deepsing.cli.models_fetch import Progress, fetch
from deepsing.cli.tables import print_rows
from deepsing.cli.verbs import add_verb
from deepsing.local.failures import USAGE, CommandError
from deepsing.local.models_folder import list_models, models_folder
from deepsing.local.source import python_command, python_environment, service_root

__all__ = ["EXAMPLES", "add_arguments"]

EXAMPLES = """examples:
  deepsing models list
  deepsing models pull biggan-deep-512 --from ~/Downloads/biggan
  deepsing models pull biggan-deep-256 --from https://example.org/biggan-deep-256-pytorch_model.bin --sha256 0123abcd…
  deepsing models pull biggan-deep-128 --from s3://bucket/biggan-deep-128/
  deepsing render song.mp3 story.mp4 --engine biggan-deep-512 --translator NAME

--from is pytorch_model.bin or the folder that holds it; config.json must be beside it. If one has a prefix, as in
biggan-deep-256-pytorch_model.bin, the other must have the same. After an interrupted transfer the same command
resumes it. Engines are kept in DEEPSING_MODELS_DIR (default: ~/.local/share/deepsing/models).
"""
COLUMNS = ("name", "state", "kind", "bytes", "sha256")
NAMES = ("biggan-deep-128", "biggan-deep-256", "biggan-deep-512")
WEIGHTS, CONFIG = "pytorch_model.bin", "config.json"
PUBLISHED = "https://s3.amazonaws.com/models.huggingface.co/biggan/"
EXPORTER = "training.generator.biggan_deep.export"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verbs of `models` and their arguments."""
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    listing = add_verb(verbs, "list", "list the engines that were fetched", "models list", "models list --json")
    listing.set_defaults(run=_list)
    listing.add_argument("--json", action="store_true", help="print a JSON list")
    pulling = add_verb(
        verbs,
        "pull",
        "fetch an engine's weights and convert them",
        "models pull biggan-deep-512 --from ~/Downloads/biggan",
        "models pull biggan-deep-128 --from s3://bucket/biggan-deep-128/ --precision stored16",
    )
    pulling.set_defaults(run=_pull)
    pulling.add_argument("name", metavar="NAME", choices=NAMES, help=" | ".join(NAMES))
    pulling.add_argument("--from", dest="source", metavar="WHERE", help="a path, an http(s) address, or s3://…")
    pulling.add_argument("--sha256", default="", metavar="HEX", help=f"the SHA-256 that {WEIGHTS} must have")
    pulling.add_argument(
        "--precision",
        choices=("float32", "stored16", "float16"),
        default="float32",
        help="of the engine's weights: stored16 halves the file, float16 is for GPUs (default: float32)",
    )
    pulling.add_argument(
        "--sentiments",
        type=Path,
        metavar="CSV",
        help="feelings of the concepts: columns concept, arousal, valence (-1 to 1)",
    )
    pulling.add_argument("--no-convert", action="store_true", help="fetch only, do not convert")


def _list(arguments: argparse.Namespace) -> int:
    folder = models_folder()
    found = list_models(folder)
    if arguments.json:
        print(json.dumps([vars(model) for model in found]))
        return 0
    if found:
        print_rows(COLUMNS, [tuple(vars(model).values()) for model in found])
    else:
        print(f"deepsing: {folder} has no engines; see deepsing models pull --help", file=sys.stderr)
    return 0


def _pull(arguments: argparse.Namespace) -> int:
    name = arguments.name
    if not arguments.source:
        raise CommandError(
            f"say where {name} is: --from PATH|URL|s3://…; its publisher's loader names {PUBLISHED}{name}-{WEIGHTS} "
            f"(config beside it). Without a network: fetch {WEIGHTS} and {CONFIG} elsewhere into one folder, carry it "
            "here, and give its path",
            USAGE,
        )
    _check_digest(arguments.sha256)
    weights, config = _locate_files(arguments.source)
    folder = models_folder() / name
    folder.mkdir(parents=True, exist_ok=True)
    fetch(config, folder / CONFIG)
    with _show_progress(name) as progress:
        digest = fetch(weights, folder / WEIGHTS, sha256=arguments.sha256, progress=progress)
    if not arguments.sha256:
        print(f"deepsing: {WEIGHTS} has sha256 {digest}, which was not checked; compare it, or give --sha256")
    return _convert(arguments, folder)


def _check_digest(text: str) -> None:
    if text and (len(text) != 64 or set(text.lower()) - set("0123456789abcdef")):
        raise CommandError(f"--sha256 is {text!r}; give 64 hex digits, or leave it out", USAGE)


def _locate_files(source: str) -> tuple[str, str]:
    """Where the weights and the config are."""
    weights = source if source.endswith(WEIGHTS) else f"{source.rstrip('/')}/{WEIGHTS}"
    return weights, weights.removesuffix(WEIGHTS) + CONFIG


def _convert(arguments: argparse.Namespace, folder: Path) -> int:
    chosen = ["--checkpoint", str(folder), "--out", str(folder.parent), "--name", arguments.name]
    chosen += ["--precision", arguments.precision]
    if arguments.sentiments:
        chosen += ["--sentiments", str(arguments.sentiments.resolve())]
    if arguments.no_convert or find_spec("torch") is None or find_spec("onnx") is None:
        print(f"fetched into {folder}. To convert it, run in a clone after pip install -e '.[serve,train]':")
        print(f"  python -m {EXPORTER} {' '.join(chosen)}")
        return 0
    root = service_root(EXPORTER, "work in a clone of the repository (see its README)")
    print("deepsing: converting; this takes a minute or two", file=sys.stderr)
    made = subprocess.run(
        python_command("-m", EXPORTER, *chosen),
        env=python_environment(root),
        check=False,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        said = made.stderr.strip().splitlines()
        raise CommandError(f"{arguments.name} cannot be converted: {said[-1] if said else 'it printed no reason'}")
    print(f"{made.stdout.strip()}: ready; use it with --engine {arguments.name}")
    return 0


@contextmanager
def _show_progress(name: str) -> Iterator[Progress]:
    """A bar with the time that remains on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=None)
        yield lambda here, whole: bar.update(task, completed=here, total=whole)
