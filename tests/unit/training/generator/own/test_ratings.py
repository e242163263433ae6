"""What is felt at one's own pictures: by a table, by folders, or by the labeller."""

from pathlib import Path

import numpy as np
import pytest

from deepsing.local.failures import CommandError
from tests.unit.training.generator.own.drawing import draw_picture
from training.generator.own.folder import FoundPicture
from training.generator.own.ratings import Labeller, Rating, TableRow, choose_rating, match_ratings, read_ratings


def write_table(folder: Path, text: str | bytes) -> Path:
    path = folder / "felt.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_people_rate_from_1_to_7_or_from_minus_1_to_1(tmp_path: Path) -> None:
    table = write_table(tmp_path, "\ufefffile,arousal_mean,valence_mean,concept,rated_by\nA.png,7,2.5,Old Pier,model\n")
    assert read_ratings(table) == [TableRow(2, "A.png", "Old Pier", Rating(1.0, -0.5, "model", "table"))]
    table = write_table(tmp_path, "name,file,valence,arousal\nsea,.\\x\\b.png,-0.25,0.5\n")
    assert read_ratings(table) == [TableRow(2, "x/b.png", "sea", Rating(0.5, -0.25, "people", "table"))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,felt\na.png,3\n", "has the columns file, felt; give file and arousal_mean, valence_mean (1 to 7) or"),
        ("", "has the columns none; give file"),
        ("file,arousal,valence\na.png,0,0\nb.png,0.2,1.5\n", "line 3: valence is '1.5'; give a number from -1 to 1"),
        ("file,arousal,valence\na.png,nan,0\n", "line 2: arousal is 'nan'; give a number from -1 to 1"),
        ("file,arousal_mean,valence_mean\na.png,0.5,4\n", "arousal_mean is '0.5'; give a number from 1 to 7"),
        ("file,arousal,valence\na.png,,\n", "line 2: arousal is ''; give a number"),
        ("file,arousal,valence\na.png,0\n", "line 2: valence is ''; give a number"),
        ("file,arousal,valence\na.png,0,0\na.png,0,0\n", "line 3: a.png was rated before; keep one of its rows"),
        ("file,arousal,valence,rated_by\na.png,0,0,cat\n", "line 2: rated_by is 'cat'; use people or model"),
        (b"file,arousal,valence\n\xff\xfe,0,0\n", "is not UTF-8; save it as CSV UTF-8"),
        ('file,arousal,valence\n"a.png,0,0\n', "is no CSV (unexpected end of data); save it as CSV UTF-8, with commas"),
    ],
)
def test_a_table_with_a_mistake_is_refused_with_its_line(text: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError) as refused:
        read_ratings(write_table(tmp_path, text))
    assert said in str(refused.value)
    assert refused.value.status == 2


def test_a_table_without_end_is_refused(tmp_path: Path) -> None:
    table = write_table(tmp_path, b"file,arousal,valence\n" + b"a.png,0,0\n" * 500_000)
    with pytest.raises(CommandError, match="has more than 4194304 bytes"):
        read_ratings(table)


def test_rows_find_their_pictures_by_path_or_by_name_alone() -> None:
    pictures = [FoundPicture(Path(file), file) for file in ("a.png", "x/a.png", "x/b.png")]
    rows = [
        TableRow(line, file, "", Rating(0, 0, "people", "table"))
        for line, file in enumerate(("a.png", "x/a.png", "b.png", "c.png"))
    ]
    matched, strange = match_ratings(rows, pictures)
    assert {file: row.line for file, row in matched.items()} == {"a.png": 0, "x/a.png": 1, "x/b.png": 2}
    assert [row.file for row in strange] == ["c.png"]


def test_the_table_goes_before_the_folder_and_the_folder_before_the_labeller() -> None:
    plain, felt = FoundPicture(Path("a"), "a"), FoundPicture(Path("b"), "b", feeling=(0.1, 0.2))
    row = TableRow(2, "b", "", Rating(0.7, 0.8, "people", "table"))
    read = (-0.3, -0.4)
    assert choose_rating(felt, row, read) == row.rating
    assert choose_rating(felt, None, read) == Rating(0.1, 0.2, "people", "folder")
    assert choose_rating(plain, None, read) == Rating(-0.3, -0.4, "model", "labeller")


def test_the_labeller_rates_as_it_rated_the_shipped_pictures() -> None:
    labeller = Labeller()
    read = [labeller.read(np.asarray(draw_picture(seed))) for seed in range(3)]
    assert all(-1 <= value <= 1 for pair in read for value in pair)
    assert len(set(read)) == 3
    assert labeller.read(np.asarray(draw_picture(0))) == read[0]
