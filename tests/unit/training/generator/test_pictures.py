from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from training.generator.pictures import (
    COLUMNS,
    THEMES,
    Picture,
    Window,
    crop_window,
    format_counts,
    load_pictures,
    main,
    open_picture,
)

ROW = {
    "file": "sea/1.jpg",
    "name": "green bay",
    "theme": "sea",
    "also": "",
    "arousal": "-0.25",
    "valence": "0.5",
    "rated_by": "model",
    "judge_arousal": "-0.125",
    "judge_valence": "0.375",
    "focus_x": "0.25",
    "focus_y": "0.75",
    "left": "0",
    "top": "0.5",
    "width": "1",
    "height": "0.5",
}


def write_table(folder: Path, *rows: dict[str, str]) -> Path:
    table = folder / "table.csv"
    table.write_text("\n".join(",".join(cells) for cells in [COLUMNS, *(row.values() for row in rows)]) + "\n")
    return table


@pytest.fixture(scope="module")
def table_pictures() -> list[Picture]:
    return load_pictures()


def test_a_row_becomes_a_picture(tmp_path: Path) -> None:
    assert load_pictures(write_table(tmp_path, ROW)) == [
        Picture(
            "sea/1.jpg",
            "green bay",
            "sea",
            "",
            -0.25,
            0.5,
            "model",
            (-0.125, 0.375),
            (0.25, 0.75),
            Window(0.0, 0.5, 1.0, 0.5),
        )
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "Green bay"}, "a picture is called 'Green bay'; use lower-case words of letters"),
        ({"name": "bay 2"}, "a picture is called 'bay 2'; use lower-case words of letters"),
        ({"theme": "lakes"}, r"theme of 'green bay' is 'lakes'; choose from animals, city"),
        ({"also": "lakes"}, r"also of 'green bay' is 'lakes'; choose from animals, city"),
        ({"also": "sea"}, "'green bay' has the theme 'sea' twice; leave 'also' empty"),
        ({"rated_by": "me"}, "rated_by of 'green bay' is 'me'; choose from people, model"),
        ({"rated_by": "people"}, "'green bay' is rated by people; give the judge's reading beside a model's"),
        ({"judge_valence": ""}, "'green bay' is rated by model; give the judge's reading beside a model's"),
        ({"arousal": ""}, "sea/1.jpg has no rating; give arousal and valence, -1 to 1"),
        ({"valence": "high"}, "valence of 'green bay' is 'high'; give a number from -1 to 1"),
        ({"arousal": "nan"}, "arousal of 'green bay' is 'nan'; give a number from -1 to 1"),
        ({"valence": "1.5"}, "valence of 'green bay' is '1.5'; give a number from -1 to 1"),
        ({"focus_x": "-0.1"}, "focus_x of 'green bay' is '-0.1'; give a number from 0 to 1"),
        ({"height": "0.75"}, "it must lie within the file"),
        ({"width": "0"}, "it must lie within the file"),
    ],
)
def test_a_bad_row_is_refused_with_its_rule(tmp_path: Path, changed: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_pictures(write_table(tmp_path, ROW | changed))


def test_a_name_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two pictures are called 'green bay'"):
        load_pictures(write_table(tmp_path, ROW, ROW | {"file": "sea/2.jpg"}))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("file,name\n")
    with pytest.raises(ValueError, match=r"table.csv has no column theme"):
        load_pictures(table)


def test_crops_stay_inside_and_as_near_to_the_focus_as_the_borders_allow(tmp_path: Path) -> None:
    image = Image.new("RGB", (500, 400))
    image.putpixel((400, 100), (255, 0, 0))
    image.save(tmp_path / "a.png")
    picture = Picture("a.png", "a", "sea", "", 0.0, 0.0, "people", focus=(0.8, 0.25))
    square = open_picture(tmp_path, picture, (1, 1))
    assert square.size == (400, 400)
    assert square.getpixel((300, 100)) == (255, 0, 0)  # cut from 100 to 500
    tall = open_picture(tmp_path, picture, (9, 16))
    assert tall.size == (225, 400)
    assert tall.getpixel((400 - 275, 100)) == (255, 0, 0)  # cut from 275, as far right as the border allows
    wide = open_picture(tmp_path, picture, (16, 9))
    assert wide.size == (500, 281)
    assert wide.getpixel((400, 100)) == (255, 0, 0)  # cut from 0


def test_a_window_is_cut_to_its_pixels() -> None:
    image = Image.new("RGB", (1280, 709))
    assert crop_window(image, Window(0.5, 0.2779, 0.5, 0.7221)).size == (640, 512)
    assert crop_window(image, Window()).size == (1280, 709)


def test_a_picture_is_opened_as_it_is_shown(tmp_path: Path) -> None:
    (tmp_path / "sea").mkdir()
    Image.new("L", (100, 80)).save(tmp_path / "sea" / "1.jpg")
    picture = load_pictures(write_table(tmp_path, ROW))[0]
    assert open_picture(tmp_path, picture).size == (100, 40)
    assert open_picture(tmp_path, picture, (1, 1)).size == (40, 40)
    assert open_picture(tmp_path, picture).mode == "RGB"


def test_the_chosen_pictures_cover_what_songs_need(table_pictures: list[Picture]) -> None:
    quadrants = Counter(picture.quadrant for picture in table_pictures)
    assert len(table_pictures) == 337
    assert quadrants == {"calm": 164, "joyful": 86, "sad": 45, "tense": 42}
    assert sum(picture.is_calm_and_pleasant for picture in table_pictures) == 132
    assert Counter(picture.rated_by for picture in table_pictures) == {"people": 203, "model": 134}


def test_every_theme_has_ten_pictures(table_pictures: list[Picture]) -> None:
    counts = Counter(theme for picture in table_pictures for theme in picture.themes)
    assert set(counts) == set(THEMES)
    assert min(counts.values()) >= 10


def test_people_rated_photos_of_oasis_and_nothing_else(table_pictures: list[Picture]) -> None:
    assert all((picture.rated_by == "people") == picture.file.startswith("oasis/") for picture in table_pictures)
    felt = {picture.name: (picture.arousal, picture.valence) for picture in table_pictures}
    assert felt["puppy in a cup"] == (0.3432, 0.8301)
    assert felt["behind bars"] == (-0.1891, -0.6296)


def test_no_picture_is_shown_whose_sign_labeller_and_judge_clearly_dispute(table_pictures: list[Picture]) -> None:
    for picture in table_pictures:
        if picture.judge is not None:
            for ours, theirs in zip((picture.arousal, picture.valence), picture.judge, strict=True):
                assert ours * theirs > 0 or min(abs(ours), abs(theirs)) <= 0.1, picture.name


def test_counts_are_told_by_quadrant_and_theme(tmp_path: Path) -> None:
    told = format_counts(load_pictures(write_table(tmp_path, ROW))).splitlines()
    assert told[0] == "theme       joyful   tense     sad    calm     all   first"
    assert told[1 + THEMES.index("sea")] == "sea              0       0       0       1       1       1"
    assert told[-4:] == [
        "by people        0       0       0       0       0",
        "by model         0       0       0       1       1",
        "all              0       0       0       1       1",
        "calm and pleasant (arousal < -0.05, valence > 0.1): 1",
    ]


def test_a_check_names_missing_files_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--pictures", str(tmp_path)]) == 1
    assert "oasis/Acorns_3.jpg" in capsys.readouterr().out.splitlines()[0]
