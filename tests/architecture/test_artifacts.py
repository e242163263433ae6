"""Embedded models: each file is the one its manifest names, and together they stay small."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, list_tracked, relative

MAX_EMBEDDED_BYTES = 45_000_000
WEIGHT_SUFFIXES = {".onnx", ".npz", ".npy", ".safetensors", ".bin"}


def manifests() -> list[Path]:
    return [
        path
        for path in list_tracked()
        if path.suffix == ".json" and path.is_relative_to(ROOT / "services") and '"sha256"' in path.read_text()
    ]


@pytest.mark.parametrize("manifest", manifests(), ids=relative)
def test_a_model_is_the_one_its_manifest_names(manifest: Path) -> None:
    entry = json.loads(manifest.read_text(encoding="utf-8"))
    assert hashlib.sha256((manifest.parent / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]


def test_every_embedded_model_has_a_manifest() -> None:
    named = {path.parent / json.loads(path.read_text(encoding="utf-8"))["file"] for path in manifests()}
    weights = {
        path for path in list_tracked() if path.suffix in WEIGHT_SUFFIXES and path.is_relative_to(ROOT / "services")
    }
    assert weights - named == set()
    assert named


def test_embedded_models_fit_into_a_small_download() -> None:
    weights = [path for path in list_tracked() if path.suffix in WEIGHT_SUFFIXES]
    assert sum(path.stat().st_size for path in weights) <= MAX_EMBEDDED_BYTES


def test_no_photo_is_shipped_with_a_service() -> None:
    photos = {".jpg", ".jpeg", ".png"}
    assert [path for path in list_tracked() if path.suffix in photos and path.is_relative_to(ROOT / "services")] == []
