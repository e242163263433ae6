"""The locked packages of the images: exact, hashed, within the project's ranges, and enough to run on."""

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.test_isolation import import_alone
from tests.architecture.tree import ROOT, SERVICES

FOLDER = ROOT / "deploy" / "requirements"
LOCKS = sorted(FOLDER.glob("*.txt"))
UNWANTED = {"torch", "librosa", "scipy", "tqdm", "onnx", "bentoml", "rich"}

each_lock = pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)


def pins(lock: Path) -> dict[str, str]:
    text = lock.read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==([\w.]+)", text, re.MULTILINE))


def ranges() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    extras = ("serve", "story", "access", "otel", "queue", "s3")
    entries = [*project["dependencies"], *(entry for extra in extras for entry in optional[extra])]
    return {canonicalize_name(one.name): one for one in map(Requirement, entries)}


def read_source(source: Path) -> set[str]:
    lines = [line for line in source.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_every_image_has_a_lock() -> None:
    assert {lock.stem for lock in LOCKS} == {*SERVICES, "generator-gpu"}


@each_lock
def test_a_lock_names_each_package_with_its_hashes_and_no_place_to_get_it(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[a-z])", text)[1:]
    assert len(entries) == len(pins(lock))
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert "--index" not in text


@each_lock
def test_a_lock_holds_what_its_image_asks_for_and_nothing_of_training(lock: Path) -> None:
    assert read_source(lock.with_suffix(".in")) <= set(pins(lock))
    assert UNWANTED.isdisjoint(pins(lock))


@each_lock
def test_locked_versions_are_in_the_ranges_of_the_project(lock: Path) -> None:
    allowed = ranges()
    outside = {
        name: version
        for name, version in pins(lock).items()
        if name in allowed and not allowed[name].specifier.contains(version)
    }
    assert outside == {}


def test_all_images_run_on_the_same_versions() -> None:
    seen: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, version in pins(lock).items():
            seen.setdefault(name, set()).add(version)
    assert {name: versions for name, versions in seen.items() if len(versions) > 1} == {}


def test_the_two_onnx_runtimes_are_never_in_one_image() -> None:
    assert all(not {"onnxruntime", "onnxruntime-gpu"} <= set(pins(lock)) for lock in LOCKS)
    assert "onnxruntime-gpu" in pins(FOLDER / "generator-gpu.txt")


@pytest.mark.parametrize("service", SERVICES)
def test_a_lock_has_all_that_its_server_imports(service: str) -> None:
    owners = packages_distributions()
    imported = {name.split(".")[0] for name in import_alone(service)}
    needed = {canonicalize_name(owners[name][0]) for name in imported if name in owners and name != "google"}
    assert needed - {"deepsing"} <= set(pins(FOLDER / f"{service}.txt"))


@pytest.mark.parametrize("service", SERVICES)
def test_a_bento_asks_for_what_the_image_does(service: str) -> None:
    bentofile = yaml.safe_load((ROOT / f"services/{service}/bentofile.yaml").read_text(encoding="utf-8"))
    packages = [Requirement(line) for line in bentofile["python"]["packages"]]
    assert {canonicalize_name(one.name) for one in packages} == read_source(FOLDER / f"{service}.in")
    assert {one.name: one.specifier for one in packages if one.specifier != ranges()[one.name].specifier} == {}
    assert bentofile["python"]["lock_packages"] is False
