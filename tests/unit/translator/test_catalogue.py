import json
from pathlib import Path

import numpy as np
import pytest

from services.translator.catalogue import EMBEDDED, find_file, open_catalogue, table_path
from services.translator.translate import Passage, translate


def write_table(folder: Path, engine: str, name: str = "", first: float = 0.5) -> Path:
    rows = [{"name": each, "theme": each, "arousal": first, "valence": 0.1} for each in ("sea", "sky")]
    path = folder / f"{name or engine}_concepts.json"
    folder.mkdir(exist_ok=True)
    path.write_text(json.dumps({"engine": engine, "concepts": rows}))
    return path


def test_own_engines_are_found_beside_the_shipped_one(tmp_path: Path) -> None:
    write_table(tmp_path, "dreams")
    catalogue = open_catalogue([tmp_path])
    assert list(catalogue) == ["canvas", "dreams"]
    assert list(catalogue["dreams"]) == ["dictionary", "original"]
    assert translate(catalogue["dreams"]["dictionary"], Passage(np.zeros((2, 2)))).class_weights.shape == (2, 2)


def test_the_first_folder_that_knows_an_engine_decides(tmp_path: Path) -> None:
    for number, folder in enumerate(("one", "two"), start=1):
        write_table(tmp_path / folder, "dreams", first=number / 10)
    write_table(tmp_path / "two", "canvas")
    catalogue = open_catalogue([tmp_path / "one", tmp_path / "two"])
    assert catalogue["dreams"]["dictionary"].lexicon.ratings[0, 0] == 0.1
    assert catalogue["canvas"]["dictionary"].lexicon.names == ("sea", "sky")


def test_a_table_under_another_engines_name_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path, "dreams", name="sleep")
    with pytest.raises(ValueError, match=r"of the engine 'dreams'; call it dreams_concepts\.json"):
        open_catalogue([tmp_path])


def test_what_no_folder_has_is_looked_for_where_it_is_shipped(tmp_path: Path) -> None:
    (tmp_path / "judge.npz").write_bytes(b"")
    assert find_file("judge.npz", [tmp_path]) == tmp_path / "judge.npz"
    assert find_file("labeller.npz", [tmp_path]) == EMBEDDED / "labeller.npz"
    assert table_path("canvas", EMBEDDED).exists()
