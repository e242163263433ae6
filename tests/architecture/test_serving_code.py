"""Images, bentos and the wheel hold code that serves: each file of a service is reached from what starts it."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from tests.architecture.tree import ROOT, SERVICES, list_hand_written, list_tracked, relative

STARTS = ("__main__", "bento")  # `python -m services.NAME` in an image; BentoML in a bento
OF_CALLERS = ("client", "cli", "local")  # packages of deepsing that no service imports; .importlinter holds that

each_service = pytest.mark.parametrize("service", SERVICES)


def find_module(name: str, root: Path) -> Path | None:
    """The file of a module or package below a root; None where there is none."""
    stem = root.joinpath(*name.split("."))
    return next((file for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.is_file()), None)


def list_imports(file: Path) -> Iterator[str]:
    """The modules that a file names in imports, also inside functions; names that are no modules among them."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def find_reached(starts: list[str], root: Path) -> set[Path]:
    """The files below a root that importing modules imports, with the packages they lie in."""
    reached: set[Path] = set()
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        file = find_module(name, root)
        if file is not None and file not in reached:
            reached.add(file)
            waiting += [*list_imports(file), name.rpartition(".")[0]]
    return reached


def find_unreached(service: str, root: Path, files: list[Path]) -> list[str]:
    reached = find_reached([f"services.{service}.{start}" for start in STARTS], root)
    return [file.relative_to(root).as_posix() for file in files if file not in reached]


@each_service
def test_every_file_of_a_service_is_reached_from_what_starts_it(service: str) -> None:
    assert find_unreached(service, ROOT, list_hand_written(f"services/{service}")) == []


def test_a_file_that_only_training_imports_is_found(tmp_path: Path) -> None:
    texts = {
        "__init__.py": "",
        "__main__.py": "from services.toy import rpc",
        "bento.py": "import services.toy.rpc",
        "rpc.py": "def serve():\n    from services.toy.inner.maths import add",
        "inner/__init__.py": "",
        "inner/maths.py": "import math",
        "fit.py": "import services.toy.inner.maths",
    }
    folder = tmp_path / "services" / "toy"
    (folder / "inner").mkdir(parents=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    assert find_unreached("toy", tmp_path, [folder / name for name in texts]) == ["services/toy/fit.py"]


def matches(file: str, patterns: list[str]) -> bool:
    """Whether a bentofile's patterns take a file: `**/` is any folders, `*` any name, `x/` all that folder x holds."""
    forms = [re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*") for pattern in patterns]
    return any(re.fullmatch(form + ".*" if form.endswith("/") else form, file) for form in forms)


@each_service
def test_a_bento_takes_in_its_service_and_what_it_imports_and_nothing_else(service: str) -> None:
    bentofile = yaml.safe_load((ROOT / f"services/{service}/bentofile.yaml").read_text(encoding="utf-8"))
    python = [relative(file) for file in list_tracked() if file.suffix == ".py"]
    taken = {file for file in python if matches(file, bentofile["include"]) and not matches(file, bentofile["exclude"])}
    needed = {relative(file) for file in find_reached([f"services.{service}.bento"], ROOT)}
    assert needed <= taken
    others = [file for file in taken if not file.startswith((f"services/{service}/", "deepsing/"))]
    assert others == ["services/__init__.py"]
    assert not any(file.startswith(tuple(f"deepsing/{name}/" for name in OF_CALLERS)) for file in taken)


def test_an_image_takes_in_one_service_and_deepsing_without_what_is_for_callers() -> None:
    text = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?!--from)(\S+)", text, re.MULTILINE)
    assert copied == [
        "deploy/requirements/${REQUIREMENTS}.txt",
        "deepsing",
        "services/__init__.py",
        "services/${SERVICE}",
        "deploy/health_probe.py",
    ]
    removed = " ".join(f"/app/deepsing/{name}" for name in OF_CALLERS)
    assert f"RUN rm -rf {removed} " in text
    ignored = (ROOT / "deploy/Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    assert "*" in ignored
    assert kept == ["deepsing", "services", "deploy/requirements", "deploy/health_probe.py"]


def test_the_wheel_holds_what_is_published_only() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["deepsing"]
