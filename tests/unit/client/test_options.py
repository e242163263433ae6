"""Options as people write them, and the contract's message that they become."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsing.client import StoryOptions
from deepsing.client.errors import Refused
from deepsing.client.mood import Moods
from deepsing.client.options import parse_frame_rate, parse_size
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1.sentiment_pb2 import IMAGE_FORMAT_JPEG


@pytest.mark.parametrize(
    ("wanted", "numerator", "denominator"),
    [
        ("24", 24, 1),
        (24, 24, 1),
        (12.5, 25, 2),
        ("23.976", 24_000, 1001),
        ("23.98", 24_000, 1001),
        (29.97, 30_000, 1001),
        ("30000/1001", 30_000, 1001),
        (Fraction(60_000, 1001), 60_000, 1001),
        ("59.94", 60_000, 1001),
        (" 1 ", 1, 1),
        ("60", 60, 1),
        ("48/2", 24, 1),
    ],
)
def test_a_frame_rate_is_exact(wanted: str | float | Fraction, numerator: int, denominator: int) -> None:
    rate = parse_frame_rate(wanted)
    assert (rate.numerator, rate.denominator) == (numerator, denominator)


@pytest.mark.parametrize("wanted", ["", "fast", "0", "-24", "61", 240, "24/0", "nan", "inf", "1e9", 0.5])
def test_a_frame_rate_that_is_none_is_refused_with_the_rule_and_the_value(wanted: str | float) -> None:
    with pytest.raises(Refused, match="choose 1 to 60") as caught:
        parse_frame_rate(wanted)
    assert caught.value.reason == "FRAME_RATE_OUT_OF_RANGE"
    assert caught.value.metadata == {"field": "frame_rate", "value": str(wanted)}


@given(st.floats(1, 60))
def test_every_frame_rate_keeps_to_the_contract(wanted: float) -> None:
    rate = parse_frame_rate(wanted)
    assert 1 <= rate.denominator <= 1001
    assert 1 <= rate.numerator <= 60_060
    assert abs(rate.numerator / rate.denominator - wanted) < 0.006


@pytest.mark.parametrize(
    ("wanted", "width", "height"),
    [
        ("512x288", 512, 288),
        ("512×288", 512, 288),
        ((640, 480), 640, 480),
        ("16:9", 910, 512),
        ("9:16", 512, 910),
        ("1:1", 512, 512),
        ("4:3", 682, 512),
        ("2.35:1", 1204, 512),
        ("64x1920", 64, 1920),
        ("square", 1080, 1080),
        ("YouTube", 1920, 1080),
        ("reel", 1080, 1920),
        ("canvas", 720, 1280),
    ],
)
def test_a_size_has_even_sides(wanted: str | tuple[int, int], width: int, height: int) -> None:
    assert (parse_size(wanted).width_px, parse_size(wanted).height_px) == (width, height)


@pytest.mark.parametrize("wanted", ["", "big", "255x256", "62x64", "1922x64", "0:1", "16:0", "16x", "-64x64", "99:1"])
def test_a_size_that_is_none_is_refused_with_the_rule(wanted: str) -> None:
    with pytest.raises(Refused, match="choose even sides from 64 to 1920") as caught:
        parse_size(wanted)
    assert caught.value.reason == "SIZE_OUT_OF_RANGE"


def test_plain_options_leave_the_choice_to_the_composer() -> None:
    config = StoryOptions().to_config()
    assert not config.HasField("frame_rate")
    assert not config.HasField("size")
    assert (config.style, config.style_strength, config.engine, config.translator) == ("none", 0.0, "", "")
    assert (config.sentiment_mode, config.pacing) == (pb.SENTIMENT_MODE_ABSOLUTE, pb.PACING_OFFLINE)
    assert (config.image_format, config.jpeg_quality, config.duration_us) == (IMAGE_FORMAT_JPEG, 0, 0)


def test_truncation_is_sent_and_a_zero_is_refused_rather_than_taken_for_the_default() -> None:
    assert StoryOptions().to_config().truncation == 0.0
    assert StoryOptions(truncation=0.5).to_config().truncation == 0.5
    with pytest.raises(Refused, match="truncation is 0; choose a number above 0") as caught:
        StoryOptions(truncation=0).to_config()
    assert caught.value.reason == "TRUNCATION_OUT_OF_RANGE"


@pytest.mark.parametrize(
    ("motion", "sent"), [("still", 0.0), ("calm", 0.5), ("lively", 1.0), ("0.25", 0.25), (0.75, 0.75), (0, 0.0)]
)
def test_motion_is_a_name_or_a_number(motion: str | float, sent: float) -> None:
    config = StoryOptions(motion=motion).to_config()
    assert config.HasField("motion")
    assert config.motion == sent


def test_unset_motion_and_react_are_the_composers() -> None:
    config = StoryOptions().to_config()
    assert not config.HasField("motion")
    assert not config.HasField("react")
    assert config.paint_rate == 0


def test_no_reaction_is_sent_as_none_and_not_as_the_default() -> None:
    config = StoryOptions(react=0, paint_rate=6).to_config()
    assert (config.HasField("react"), config.react, config.paint_rate) == (True, 0, 6)


def test_motion_that_is_no_word_of_the_list_is_refused() -> None:
    with pytest.raises(Refused, match="motion is 'wild'; choose still, calm, lively or a number from 0 to 1") as caught:
        StoryOptions(motion="wild").to_config()
    assert caught.value.reason == "MOTION_OUT_OF_RANGE"


def test_no_style_strength_is_no_style() -> None:
    assert StoryOptions(style="auto", style_strength=0).to_config().style == "none"
    assert StoryOptions(style="auto", style_strength=0.25).to_config().style_strength == 0.25


def test_a_part_is_in_whole_microseconds() -> None:
    config = StoryOptions(start_s=1.5, duration_s=0.1 + 0.2).to_config()
    assert (config.start_us, config.duration_us) == (1_500_000, 300_000)


@pytest.mark.parametrize(
    "options",
    [
        StoryOptions(seed=-1),
        StoryOptions(seed=2**64),
        StoryOptions(start_s=-1),
        StoryOptions(start_s=float("nan")),
        StoryOptions(duration_s=0),
        StoryOptions(duration_s=float("inf")),
        StoryOptions(jpeg_quality=-3),
        StoryOptions(mode="happy"),  # type: ignore[arg-type]
        StoryOptions(files=("poster",)),  # type: ignore[arg-type]
    ],
)
def test_what_the_message_cannot_hold_is_refused(options: StoryOptions) -> None:
    with pytest.raises(Refused, match="choose"):
        options.to_config()


def test_a_title_from_a_name_that_is_not_unicode_is_still_a_title() -> None:
    assert StoryOptions(title=b"caf\xe9".decode("utf-8", "surrogateescape")).to_config().title == "caf?"


def test_names_of_what_may_be_shown_are_sent_as_they_are_and_none_by_default() -> None:
    config = StoryOptions(themes=["sea", " sky "], only=("tench, Tinca tinca",), without="grey shark").to_config()
    assert (list(config.themes), list(config.only)) == (["sea", "sky"], ["tench, Tinca tinca"])
    assert list(config.without) == ["grey shark"]
    plain = StoryOptions().to_config()
    assert [*plain.themes, *plain.only, *plain.without] == []
    assert not plain.HasField("mood")


@pytest.mark.parametrize(
    ("mood", "arousal", "valence"),
    [
        ("darker", 0.0, -0.35),
        ("brighter=1", 0.0, 0.7),
        ("calmer", -0.225, 0.0),
        (["wilder=0.2", "Darker=0.4"], 0.09, -0.28),
        ("calmer=1, brighter = 0.5", -0.45, 0.35),
        ((0.25, -1.0), 0.25, -1.0),
        ((0, 2), 0.0, 2.0),  # the composer refuses it
    ],
)
def test_a_mood_is_words_or_the_shift_itself(mood: Moods, arousal: float, valence: float) -> None:
    config = StoryOptions(mood=mood).to_config()
    assert (config.mood.arousal, config.mood.valence) == pytest.approx((arousal, valence), abs=1e-7)


@pytest.mark.parametrize("mood", ["", (), [], "darker=0", ("calmer=0", "brighter=0.0"), (0.0, 0.0), " , "])
def test_a_mood_of_nothing_is_none(mood: Moods) -> None:
    assert not StoryOptions(mood=mood).to_config().HasField("mood")


@pytest.mark.parametrize(
    ("mood", "said"),
    [
        ("gloomy", "choose calmer, wilder, darker, brighter, also with a number, such as darker=0.3"),
        ("darker=1.1", "choose a number from 0 to 1"),
        ("darker=-0.1", "choose a number from 0 to 1"),
        ("darker=nan", "choose a number from 0 to 1"),
        ("darker=", "choose a number from 0 to 1"),
        (["darker", "darker"], "it is given beside another; choose one of calmer or wilder, and darker or brighter"),
        (["darker=0", "brighter=0.5"], "it is given beside another"),
        ((0.1, 0.2, 0.3), "give words, or the shift of arousal and that of valence"),
    ],
)
def test_a_mood_that_is_none_is_refused_with_the_rule(mood: Moods, said: str) -> None:
    with pytest.raises(Refused) as caught:
        StoryOptions(mood=mood).to_config()
    assert said in str(caught.value)
    assert (caught.value.reason, caught.value.metadata["field"]) == ("MOOD_OUT_OF_RANGE", "mood")
