import hashlib
import json
from pathlib import Path

import pytest

from deepsing.runtime.artifacts import ArtifactError, load_artifact

WEIGHTS = bytes(range(256)) * 40


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "net.onnx").write_bytes(WEIGHTS)
    data = {"name": "net", "file": "net.onnx", "sha256": hashlib.sha256(WEIGHTS).hexdigest(), "rate_hz": 8000}
    path = tmp_path / "net.json"
    path.write_text(json.dumps(data))
    return path


def change(manifest: Path, **changes: object) -> None:
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changes))


def test_weights_with_the_right_digest_are_given_out(manifest: Path) -> None:
    loaded, weights = load_artifact(manifest)
    assert weights.read_bytes() == WEIGHTS
    assert (loaded.name, loaded.file, loaded.data["rate_hz"]) == ("net", "net.onnx", 8000)


def test_weights_changed_by_one_byte_are_refused(manifest: Path) -> None:
    manifest.with_name("net.onnx").write_bytes(WEIGHTS[:-1] + b"\0")
    with pytest.raises(ArtifactError, match=r"has sha256 \w{64} but net.json says \w{64}; fetch or export it again"):
        load_artifact(manifest)


def test_missing_files_are_named(manifest: Path) -> None:
    manifest.with_name("net.onnx").unlink()
    with pytest.raises(ArtifactError, match=r"weights .*net.onnx cannot be read \(No such file"):
        load_artifact(manifest)
    with pytest.raises(ArtifactError, match=r"manifest .*absent.json cannot be read"):
        load_artifact(manifest.with_name("absent.json"))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"name": "net"}', '{"name": 1, "file": "f", "sha256": "x"}', "\xff"])
def test_a_manifest_that_is_none_is_refused(manifest: Path, text: str) -> None:
    manifest.write_text(text, encoding="latin-1")
    with pytest.raises(ArtifactError, match="export the model again"):
        load_artifact(manifest)


@pytest.mark.parametrize("file", ["../net.onnx", "/etc/passwd", "sub/net.onnx", ""])
def test_a_manifest_may_only_name_a_file_beside_it(manifest: Path, file: str) -> None:
    change(manifest, file=file)
    with pytest.raises(ArtifactError):
        load_artifact(manifest)
