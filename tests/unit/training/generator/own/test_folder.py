"""Which files of a folder are pictures, what they are called, and what their subfolders say."""

import os
from pathlib import Path

import pytest

from deepsing.local.failures import CommandError
from tests.unit.training.generator.own.drawing import fill_folder
from training.generator.own import folder as module
from training.generator.own.feelings import FEELINGS, find_feeling
from training.generator.own.folder import FoundPicture, choose_pictures, clean_name, find_pictures, name_pictures


def name_files(*files: str) -> list[str]:
    return [one.name for one in name_pictures([FoundPicture(Path(file), file) for file in files])]


def test_subfolders_say_what_is_felt_and_other_subfolders_are_themes(tmp_path: Path) -> None:
    fill_folder(tmp_path, "a.png", "Sad/b.png", "sea/Calm/c.jpg", "sea/old_town/d.png", "joy/sadness/e.png")
    found, left_out = find_pictures(tmp_path)
    assert left_out == []
    assert {one.file: (one.themes, one.feeling) for one in found} == {
        "Sad/b.png": ((), FEELINGS["sad"]),
        "a.png": ((), None),
        "joy/sadness/e.png": ((), FEELINGS["sad"]),  # the innermost counts
        "sea/Calm/c.jpg": (("sea",), FEELINGS["calm"]),
        "sea/old_town/d.png": (("sea", "old town"), None),
    }


def test_feelings_lie_where_their_words_say() -> None:
    quadrants = {"joyful": (1, 1), "tense": (1, -1), "sad": (-1, -1), "calm": (-1, 1)}
    for word, signs in quadrants.items():
        arousal, valence = FEELINGS[word]
        assert (arousal * signs[0] > 0.2, valence * signs[1] > 0.2) == (True, True)
    assert all(-0.7 <= arousal <= 0.7 and -0.7 <= valence <= 0.7 for arousal, valence in FEELINGS.values())
    assert find_feeling(" Tension ") == FEELINGS["tense"]
    assert find_feeling("harbour") is None


def test_what_is_no_picture_is_passed_over_and_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    fill_folder(tmp_path, "a.png", "elsewhere/b.png", "1/2/3/4/c.png", "1/2/3/4/5/d.png")
    for name in ("notes.txt", ".hidden.png", "phone.HEIC", "raw.nef"):
        (tmp_path / name).touch()
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "link.png").symlink_to("a.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    found, left_out = find_pictures(tmp_path)
    assert [one.file for one in found] == ["1/2/3/4/c.png", "a.png", "elsewhere/b.png", "link.png"]
    assert {one.file: one.why for one in left_out} == {
        "1/2/3/4/5": "lies deeper than 4 subfolders; move it up",
        "gone.jpg": "is a link to nothing",
        "loop": "is a link to a folder, which is not followed; put the folder itself there",
        "phone.HEIC": "is HEIC, which cannot be read here; save it as JPEG or PNG",
        "pipe.jpg": "is no file of pictures but a pipe or a device",
        "raw.nef": "is NEF, which cannot be read here; save it as JPEG or PNG",
    }


def test_far_too_many_files_and_what_is_no_folder_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    fill_folder(tmp_path, "a.png", "b.png")
    assert len(find_pictures(tmp_path)[0]) == 2
    (tmp_path / "c.txt").touch()
    with pytest.raises(CommandError, match="holds more than 2 files; give a folder of pictures alone"):
        find_pictures(tmp_path)
    with pytest.raises(CommandError, match=r"a\.png is not a folder; give one with pictures"):
        find_pictures(tmp_path / "a.png")


def test_of_too_many_pictures_some_of_every_subfolder_are_taken() -> None:
    found = [FoundPicture(Path(file), file) for file in (f"{place:04}.png" for place in range(3000))]
    chosen = choose_pictures(found)
    assert [one.file for one in chosen] == [f"{place:04}.png" for place in range(0, 3000, 3)]
    assert choose_pictures(found[:1000]) == found[:1000]


def test_names_come_from_files_and_are_unique_and_readable() -> None:
    assert name_files("Red_Sky.png", "x/red-sky.jpg", "y/RED  SKY.png") == ["red sky", "red sky 2", "red sky 3"]
    assert name_files("sea/0001.jpg", "0002.png", "!!.png") == ["sea 0001", "picture 0002", "picture !!"]
    assert name_files("cafe\u0301\n\u202e.png") == ["café"]
    assert name_files(os.fsdecode(b"b\xff\xfela.png")) == ["b la"]
    assert name_files("a 2.png", "b/a.png", "c/a.png") == ["a 2", "a", "a 3"]
    assert len(clean_name("long " * 40)) <= 60


def test_pictures_that_differ_by_a_number_are_of_a_kind_unless_most_are_called_so() -> None:
    named = name_pictures([FoundPicture(Path(f), f) for f in ("dog 1.png", "dog 2.png", "sea.png")])
    assert [one.kind for one in named] == ["dog", "dog", "sea"]
    camera = name_pictures([FoundPicture(Path(f), f) for f in (f"IMG_{place}.jpg" for place in range(40))])
    assert [one.kind for one in camera][:2] == ["img 0", "img 1"]


def test_a_name_that_a_table_gives_is_kept() -> None:
    named = name_pictures([FoundPicture(Path("a.png"), "a.png", name="Old harbour"), FoundPicture(Path("b"), "b.png")])
    assert [one.name for one in named] == ["Old harbour", "b"]
