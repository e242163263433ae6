"""A manifest says what a model file is; a server opens the file by it."""

import hashlib
import json
from pathlib import Path

import pytest

from deepsing.runtime.artifacts import ArtifactError, load_artifact
from training.manifest import write_manifest


def test_a_server_opens_what_a_manifest_was_written_for(tmp_path: Path) -> None:
    weights = tmp_path / "dream.npz"
    weights.write_bytes(b"weights")
    write_manifest(weights, {"data": "Åse's photos"})
    manifest, found = load_artifact(tmp_path / "dream.json")
    assert found == weights
    assert manifest.data == {
        "name": "dream",
        "file": "dream.npz",
        "sha256": hashlib.sha256(b"weights").hexdigest(),
        "bytes": 7,
        "data": "Åse's photos",
    }
    weights.write_bytes(b"others")
    with pytest.raises(ArtifactError):
        load_artifact(tmp_path / "dream.json")


def test_a_model_may_be_called_otherwise_than_its_file(tmp_path: Path) -> None:
    (tmp_path / "head.npz").write_bytes(b"")
    write_manifest(tmp_path / "head.npz", {}, "audio-sentiment-head")
    assert json.loads((tmp_path / "head.json").read_text())["name"] == "audio-sentiment-head"
