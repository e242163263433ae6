from pathlib import Path

import pytest

from training.generator.picture_sources import (
    BEGIN,
    END,
    NOTICE,
    Source,
    collect_sources,
    format_notice,
    load_sources,
    main,
    replace_notice,
)
from training.generator.pictures import load_pictures

PAINTING = Source("hudson/a.jpg", "A Lake", "A. Painter", "1861", "https://museum/a", "some/one", "public domain")
PHOTOS = [
    Source(f"oasis/Lake_{number}.jpg", f"Lake {number}", "", "", "https://oasis", "b/k", "CC0") for number in (1, 2)
]


def test_every_chosen_file_has_its_source_and_no_other_does() -> None:
    assert [source.file for source in load_sources()] == list(dict.fromkeys(each.file for each in load_pictures()))


def test_paintings_name_their_maker_and_year_where_the_source_does() -> None:
    paintings = [source for source in load_sources() if source.folder in ("hudson", "museum", "art")]
    assert len(paintings) == 55
    assert all(source.maker and source.year for source in paintings)


def test_notice_lists_the_sources_of_the_table() -> None:
    assert main(["notice", "--check"]) == 0


def test_a_notice_that_lacks_a_picture_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tmp_path / "NOTICE"
    changed.write_text(NOTICE.read_text().replace("Cotopaxi, Frederic Edwin Church, 1862", "Cotopaxi"))
    monkeypatch.setattr("training.generator.picture_sources.NOTICE", changed)
    assert main(["notice", "--check"]) == 1
    assert main(["notice", "--write"]) == 0
    assert changed.read_text() == NOTICE.read_text()


def test_a_painting_is_told_with_title_maker_year_page_and_rights() -> None:
    lines = format_notice([*PHOTOS, PAINTING]).splitlines()
    assert lines[0] == BEGIN
    assert lines[-1] == END
    assert lines[-8:] == [
        "",
        "oasis/: 2 files by way of github.com/b/k; CC0:",
        "  https://oasis, by their OASIS titles: Lake 1, Lake 2.",
        "",
        "hudson/: 1 file by way of github.com/some/one; public domain:",
        "  A Lake, A. Painter, 1861: https://museum/a",
        "",
        END,
    ]


def test_text_around_the_marks_stays() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replace_notice(text, f"{BEGIN}\nnew\n{END}") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_a_notice_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="NOTICE has no line 'THE CHOSEN PICTURES"):
        replace_notice("nothing\n", "part")


def test_sources_are_collected_once_a_file_in_the_order_of_the_pictures(tmp_path: Path) -> None:
    table = tmp_path / "pictures.csv"
    table.write_text(
        "folder,file,title,maker,year,page,repository,rights,note\n"
        "oasis,Lake_1.jpg,Lake 1,,,https://oasis,b/k,CC0,\n"
        "hudson,a.jpg,A Lake,A. Painter,1861,https://museum/a,some/one,public domain,x\n"
    )
    assert collect_sources(["hudson/a.jpg", "oasis/Lake_1.jpg", "hudson/a.jpg"], table) == [PAINTING, PHOTOS[0]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.jpg,,x,1,page,a/b,CC0\n", "a.jpg lacks its title, page or rights in table.csv"),
        ("a.jpg,A,x,1,page,a/b,\n", "a.jpg lacks its title, page or rights in table.csv"),
        ("a.jpg,A,x,1,page,a/b,CC0\n" * 2, "a.jpg has two rows in table.csv; keep one"),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, rows: str, message: str) -> None:
    table = tmp_path / "table.csv"
    table.write_text(f"file,title,maker,year,page,repository,rights\n{rows}")
    with pytest.raises(ValueError, match=message):
        load_sources(table)
