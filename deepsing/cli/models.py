"""deepsing models: lists and fetches engines in addition to the built-in one.

A file comes from a path, over HTTP or from S3: a broken transfer is resumed, the digest checked, the file renamed last.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from deepsing.access.outgoing import is_local
from deepsing.cli.tables import print_rows
from deepsing.cli.verbs import add_verb
from deepsing.cli.web_source import open_url
from deepsing.local.failures import USAGE, CommandError, missing_extra
from deepsing.local.models_folder import list_models, models_folder
from deepsing.local.source import python_command, python_environment, service_root

__all__ = ["EXAMPLES", "add_arguments", "fetch"]

EXAMPLES = """examples:
  deepsing models list
  deepsing models pull biggan-deep-512 --from ~/Downloads/biggan
  deepsing models pull biggan-deep-256 --from https://example.org/biggan-deep-256-pytorch_model.bin --sha256 0123abcd…
  deepsing models pull biggan-deep-128 --from s3://bucket/biggan-deep-128/
  deepsing render song.mp3 story.mp4 --engine biggan-deep-512 --translator NAME

--from is pytorch_model.bin or the folder that holds it; config.json must be beside it. If one has a prefix, as in
biggan-deep-256-pytorch_model.bin, the other must have the same. After an interrupted transfer the same command
resumes it. An http address needs the digests of both files. Engines are kept in DEEPSING_MODELS_DIR (default:
~/.local/share/deepsing/models).
"""
COLUMNS = ("name", "state", "kind", "bytes", "sha256", "rated by")
NAMES = ("biggan-deep-128", "biggan-deep-256", "biggan-deep-512")
WEIGHTS, CONFIG = "pytorch_model.bin", "config.json"
PUBLISHED = "https://s3.amazonaws.com/models.huggingface.co/biggan/"
EXPORTER = "training.generator.biggan_deep.export"
BLOCK_BYTES = 1 << 20
WEIGHTS_BYTES, CONFIG_BYTES = 2**31, 2**20  # largest files that are taken; the published ones have 0.2 GB and 1 kB
IDLE_LIMIT_S = 60.0  # without a byte
PARTIAL_CONTENT, PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE = 206, 412, 416
RESTARTS = (PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE)
OFFLINE = "without a network, fetch it on another machine and give --from the path of the copy"
Progress = Callable[[int, int | None], None]
"""Takes the bytes fetched so far and those of the whole file, None where that is unknown."""


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
    pulling.add_argument("--config-sha256", default="", metavar="HEX", help=f"the SHA-256 that {CONFIG} must have")
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
    for option in ("sha256", "config_sha256"):
        _check_digest(f"--{option.replace('_', '-')}", getattr(arguments, option))
    _check_source(arguments.source, arguments.sha256 and arguments.config_sha256)
    weights, config = _locate_files(arguments.source)
    folder = models_folder() / name
    folder.mkdir(parents=True, exist_ok=True)
    fetch(config, folder / CONFIG, sha256=arguments.config_sha256, limit_bytes=CONFIG_BYTES)
    with _show_progress(name) as progress:
        digest = fetch(weights, folder / WEIGHTS, sha256=arguments.sha256, progress=progress)
    if not arguments.sha256:
        print(f"deepsing: {WEIGHTS} has sha256 {digest}, which was not checked; compare it, or give --sha256")
    return _convert(arguments, folder)


def _check_digest(option: str, text: str) -> None:
    if text and (len(text) != 64 or set(text.lower()) - set("0123456789abcdef")):
        raise CommandError(f"{option} is {text!r}; give 64 hex digits, or leave it out", USAGE)


def _check_source(source: str, digests: str) -> None:
    """Refuses files that anybody on the way could change, unless the digests of both say that nobody did."""
    parts = urlsplit(source)
    if parts.scheme == "http" and not digests and not is_local(parts.hostname or ""):
        raise CommandError(
            f"{source} is not encrypted, so that others can change what comes; use https, or give --sha256 and "
            "--config-sha256",
            USAGE,
        )


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


@dataclass(frozen=True)
class SourceStream:
    """The rest of a file: its stream, the byte it begins at, the size of the whole, and a tag of the version."""

    stream: IO[bytes]
    offset: int
    total: int | None
    version: str


def fetch(
    source: str,
    target: Path,
    *,
    sha256: str = "",
    progress: Progress = lambda here, whole: None,
    limit_bytes: int = WEIGHTS_BYTES,
) -> str:
    """Fetches a file; an existing `target` is replaced only at the end.

    A broken transfer leaves `target` + ".partial"; the next call resumes it if the source has the same version still.

    Args:
        source: a path, or a URL that begins with http, https or s3.
        target: where to put it; its folder exists.
        sha256: the digest it must have, in hex; empty accepts any.
        progress: called after each block.
        limit_bytes: of the largest file that is taken.

    Returns:
        The file's digest.

    Raises:
        CommandError: there is no such file, it broke off, is too large, or its digest is not `sha256`.
    """
    partial, note = target.with_name(f"{target.name}.partial"), target.with_name(f"{target.name}.version")
    version = note.read_text(encoding="utf-8") if note.exists() and partial.exists() else ""
    offset = partial.stat().st_size if version else 0
    with _open(source, offset, version) as opened:
        _check_size(source, opened.total or 0, limit_bytes)
        note.write_text(opened.version, encoding="utf-8")
        with partial.open("ab" if (here := opened.offset) else "wb") as file:
            for here, block in _iter_blocks(opened, source, partial, limit_bytes):
                file.write(block)
                progress(here, opened.total)
    if opened.total is not None and here != opened.total:
        raise CommandError(f"{source} broke off after {here} of {opened.total} bytes; run the command again to resume")
    with partial.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    note.unlink()
    if sha256.lower() not in ("", digest):
        partial.unlink()
        raise CommandError(f"{source} has sha256 {digest}, not {sha256.lower()}; give the right digest or file", USAGE)
    partial.replace(target)
    return digest


def _check_size(source: str, size: int, limit_bytes: int) -> None:
    if size > limit_bytes:
        raise CommandError(f"{source} has {size} bytes or more; at most {limit_bytes} are taken, is it the right file?")


def _open(source: str, offset: int, version: str) -> AbstractContextManager[SourceStream]:
    """Opens a source at `offset`, or at its start if it no longer has this version."""
    scheme = urlsplit(source).scheme
    if scheme in ("http", "https"):
        return _open_http(source, offset, version)
    if scheme == "s3":
        return _open_s3(source, offset, version)
    return _open_path(Path(source).expanduser(), offset, version)


def _iter_blocks(opened: SourceStream, source: str, partial: Path, limit_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Yields the rest of a file, each block with the place of its end; removes `partial` if it is too large."""
    here = opened.offset
    while block := _read_block(opened.stream, source):
        here += len(block)
        if here > limit_bytes:
            partial.unlink()
            _check_size(source, here, limit_bytes)
        yield here, block


def _read_block(stream: IO[bytes], source: str) -> bytes:
    try:
        return stream.read(BLOCK_BYTES)
    except (OSError, HTTPException) as error:
        raise CommandError(f"{source} broke off ({error}); run the command again to resume") from None


@contextmanager
def _open_path(path: Path, offset: int, version: str) -> Iterator[SourceStream]:
    facts = path.stat()
    current = f"{facts.st_size} {facts.st_mtime_ns}"
    with path.open("rb") as file:
        file.seek(offset if version == current else 0)
        yield SourceStream(file, file.tell(), facts.st_size, current)


@contextmanager
def _open_http(url: str, offset: int, version: str) -> Iterator[SourceStream]:
    wanted = {"Range": f"bytes={offset}-", "If-Range": version} if offset and version else {}
    try:
        try:
            answer = open_url(url, wanted, IDLE_LIMIT_S)
        except urllib.error.HTTPError as error:
            if not wanted or error.code != RANGE_NOT_SATISFIABLE:
                raise
            answer = open_url(url, {}, IDLE_LIMIT_S)
    except urllib.error.HTTPError as error:
        raise CommandError(f"{url} answers {error.code} {error.reason}; check the address", USAGE) from None
    except OSError as error:  # URLError too
        raise CommandError(f"{url} cannot be reached ({getattr(error, 'reason', error)}); {OFFLINE}") from None
    with answer:
        begin = offset if answer.status == PARTIAL_CONTENT else 0
        length = answer.headers.get("Content-Length")
        yield SourceStream(answer, begin, begin + int(length) if length else None, _version_tag(answer.headers))


def _version_tag(headers: Message) -> str:
    """Returns a tag for If-Range, which must not be a weak one."""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


@contextmanager
def _open_s3(url: str, offset: int, version: str) -> Iterator[SourceStream]:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ModuleNotFoundError:
        raise missing_extra("s3:// needs boto3 (an https address does not)", "s3") from None
    parts = urlsplit(url)
    location = {"Bucket": parts.netloc, "Key": parts.path.lstrip("/")}
    client = boto3.client("s3")
    offset = offset if version else 0
    wanted = {"Range": f"bytes={offset}-", "IfMatch": version} if offset else {}
    try:
        try:
            answer = client.get_object(**location, **wanted)
        except ClientError as error:
            if not wanted or error.response["ResponseMetadata"]["HTTPStatusCode"] not in RESTARTS:
                raise
            offset, answer = 0, client.get_object(**location)
        yield SourceStream(answer["Body"], offset, offset + answer["ContentLength"], answer["ETag"])
    except (BotoCoreError, ClientError) as error:
        raise CommandError(f"{url} cannot be fetched ({error}); check the address and your credentials") from None
