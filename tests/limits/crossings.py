"""For each limit of the contract, a request that breaks it, or the test that breaks it otherwise."""

__all__ = ["CROSSINGS", "ELSEWHERE", "Crossing"]

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from deepsing.v1 import audio_sentiment_pb2, sentiment_pb2
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import generator_pb2 as gen
from deepsing.v1 import translator_pb2 as tr
from tests.encoding import encode, tone, wav
from tests.fuzz.examples import picture, sound

CONCEPTS, NOISE, STYLES = 3, 4, 2  # of the small engine that answers here
BIG = bytes(65_537)
RAW = {"sample_format": sentiment_pb2.SAMPLE_FORMAT_S16LE}


@dataclass(frozen=True)
class Crossing:
    """Requests to one method, the last of which breaks the limit."""

    method: str
    requests: tuple[Message, ...]


def _compose(*steps: Message, **config: Any) -> Crossing:
    return Crossing("Compose", (pb.ComposeRequest(config=pb.StoryConfig(**config)), *steps))


def _compose_song(song: bytes, **config: Any) -> Crossing:
    """A song sent whole, with a config."""
    pieces = [pb.ComposeRequest(audio_chunk=song[at : at + 65_536]) for at in range(0, len(song), 65_536)]
    return _compose(*pieces, pb.ComposeRequest(end_of_audio=pb.EndOfAudio()), **config)


def _create(*steps: Message, key: str = "", **config: Any) -> Crossing:
    first = pb.CreateStoryRequest(config=pb.StoryConfig(**config), idempotency_key=key)
    return Crossing("CreateStory", (first, *steps))


def _probe(*steps: Message, **config: Any) -> Crossing:
    return Crossing("Probe", (pb.ProbeRequest(config=pb.StoryConfig(**config)), *steps))


def _plan(*steps: Message, **config: Any) -> Crossing:
    return Crossing("PlanStory", (pb.PlanStoryRequest(config=pb.StoryConfig(**config)), *steps))


def _board(**key: Any) -> Crossing:
    """A storyboard of one key that is locked; the song follows, for what needs its engine."""
    named = {"concepts": [pb.NamedWeight(name="c1", weight=1)], "locked": True} | key
    return _compose_song(sound(), storyboard=[pb.StoryboardKey(**named)])


def _analyze(*steps: Message, **config: Any) -> Crossing:
    return Crossing(
        "Analyze", (audio_sentiment_pb2.AnalyzeRequest(config=audio_sentiment_pb2.AnalyzeConfig(**config)), *steps)
    )


def _analyze_song(song: bytes) -> Crossing:
    pieces = [
        audio_sentiment_pb2.AnalyzeRequest(audio_chunk=song[at : at + 65_536]) for at in range(0, len(song), 65_536)
    ]
    return _analyze(*pieces)


def _generate(**fields: Any) -> Crossing:
    whole = {"frame_count": 1, "class_weights": [1, 0, 0]} | fields
    return Crossing("Generate", (gen.GenerateRequest(**whole),))


def _translate(**fields: Any) -> Crossing:
    return Crossing("Translate", (tr.TranslateRequest(**{"sentiments": [sentiment_pb2.Sentiment()]} | fields),))


def _read(count: int = 1, image: bytes = b"", concepts: tuple[int, ...] = (), **fields: Any) -> Crossing:
    one = tr.Picture(image=image or picture(), concepts=concepts)
    return Crossing("ReadPictures", (tr.ReadPicturesRequest(pictures=[one] * count, **fields),))


SHORT = wav(tone(0.4, 8000, 1), 8000, tag=3)
NO_SOUND = encode(tone(1.0), 44_100, "mp4", "", video=True, sound=False)
WORDS = b"this is no song\n" * 500
COMPOSE, ANALYZE = "ComposerService.Compose", "AudioSentimentService.Analyze"
OF_AUDIO = {
    f"{ANALYZE} CHUNK_TOO_LARGE": _analyze(audio_sentiment_pb2.AnalyzeRequest(audio_chunk=BIG)),
    f"{ANALYZE} SONG_TOO_SHORT": _analyze_song(SHORT),
    f"{ANALYZE} SONG_NO_AUDIO": _analyze_song(NO_SOUND),
    f"{ANALYZE} SONG_UNREADABLE": _analyze_song(WORDS),
    f"{ANALYZE} SONG_EMPTY": _analyze_song(b""),
    "AnalyzeRequest.payload CONFIG_MISSING": _analyze(audio_sentiment_pb2.AnalyzeRequest()),
    "AnalyzeRequest.config CONFIG_DUPLICATE": _analyze(
        audio_sentiment_pb2.AnalyzeRequest(config=audio_sentiment_pb2.AnalyzeConfig())
    ),
    "AnalyzeRequest.audio_chunk CHUNK_TOO_LARGE": _analyze(audio_sentiment_pb2.AnalyzeRequest(audio_chunk=BIG)),
    "AnalyzeRequest.audio_chunk CONFIG_MISSING": Crossing(
        "Analyze", (audio_sentiment_pb2.AnalyzeRequest(audio_chunk=sound()),)
    ),
    "AnalyzeConfig.smoothing_us SMOOTHING_OUT_OF_RANGE": _analyze(smoothing_us=60_000_001),
    "AnalyzeConfig.context_us CONTEXT_OUT_OF_RANGE": _analyze(context_us=600_000_001),
    "AnalyzeConfig.model_digest MODEL_MISMATCH": _analyze(model_digest="9ab0"),
    "AnalyzeConfig.hearing ENUM_UNKNOWN": _analyze(hearing=7),
    "AudioFormat.sample_format ENUM_UNKNOWN": _analyze(audio_format=sentiment_pb2.AudioFormat(sample_format=99)),
    "AudioFormat.sample_rate_hz AUDIO_FORMAT_INVALID": _compose(
        audio_format=sentiment_pb2.AudioFormat(**RAW, sample_rate_hz=192_001, channel_count=1)
    ),
    "AudioFormat.channel_count AUDIO_FORMAT_INVALID": _compose(
        audio_format=sentiment_pb2.AudioFormat(**RAW, sample_rate_hz=8000, channel_count=9)
    ),
}
OF_COMPOSER = {
    f"{COMPOSE} CHUNK_TOO_LARGE": _compose(pb.ComposeRequest(audio_chunk=BIG)),
    f"{COMPOSE} SONG_TOO_SHORT": _compose_song(SHORT),
    f"{COMPOSE} SONG_NO_AUDIO": _compose_song(NO_SOUND),
    f"{COMPOSE} SONG_UNREADABLE": _compose_song(WORDS),
    f"{COMPOSE} SONG_EMPTY": _compose_song(b""),
    "ComposerService.Render SONG_TOO_LARGE": Crossing("Render", (pb.RenderRequest(song=bytes(24 * 2**20 + 1)),)),
    "RenderRequest.song SONG_TOO_LARGE": Crossing("Render", (pb.RenderRequest(song=bytes(24 * 2**20 + 1)),)),
    "AwaitRequest.payload CONFIG_MISSING": Crossing("Await", (pb.AwaitRequest(),)),
    "ProbeRequest.payload CONFIG_MISSING": _probe(pb.ProbeRequest()),
    "ProbeRequest.config CONFIG_DUPLICATE": _probe(pb.ProbeRequest(config=pb.StoryConfig())),
    "ProbeRequest.audio_chunk CHUNK_TOO_LARGE": _probe(pb.ProbeRequest(audio_chunk=BIG)),
    "PlanStoryRequest.payload CONFIG_MISSING": _plan(pb.PlanStoryRequest()),
    "PlanStoryRequest.config CONFIG_DUPLICATE": _plan(pb.PlanStoryRequest(config=pb.StoryConfig())),
    "PlanStoryRequest.config STORYBOARD_INVALID": _plan(pacing=pb.PACING_LIVE),
    "PlanStoryRequest.audio_chunk CHUNK_TOO_LARGE": _plan(pb.PlanStoryRequest(audio_chunk=BIG)),
    "StoryConfig.storyboard STORYBOARD_TOO_LARGE": _compose(storyboard=[pb.StoryboardKey()] * 8193),
    "StoryConfig.storyboard STORYBOARD_INVALID": _compose(pacing=pb.PACING_LIVE, storyboard=[pb.StoryboardKey()]),
    "StoryboardKey.time_us STORYBOARD_INVALID": _board(time_us=1_000_000),  # the song's very end
    "StoryboardKey.concepts STORYBOARD_INVALID": _board(concepts=[]),
    "NamedWeight.weight STORYBOARD_INVALID": _board(concepts=[pb.NamedWeight(name="c1", weight=1.01)]),
    "StoryboardKey.concepts CONCEPT_UNKNOWN": _board(concepts=[pb.NamedWeight(name="x", weight=1)]),
    "StoryboardKey.style STYLE_UNKNOWN": _board(style="x"),
    "StoryboardKey.motion MOTION_OUT_OF_RANGE": _board(motion=1.01),
    "SentimentMode.SENTIMENT_MODE_RELATIVE MODE_NEEDS_WHOLE_SONG": _compose(
        sentiment_mode=pb.SENTIMENT_MODE_RELATIVE, pacing=pb.PACING_LIVE
    ),
    "StoryFileKind.STORY_FILE_KIND_UNSPECIFIED ENUM_UNKNOWN": _compose(files=[pb.STORY_FILE_KIND_UNSPECIFIED]),
    "StoryConfig MESSAGE_TOO_LARGE": _compose(title="x" * (2**22 + 1)),
    "StoryConfig.engine ENGINE_UNKNOWN": _compose_song(sound(), engine="dalle"),
    "StoryConfig.translator TRANSLATOR_UNKNOWN": _compose_song(sound(), translator="x"),
    "StoryConfig.style STYLE_UNKNOWN": _compose_song(sound(), style="x"),
    "StoryConfig.style_strength STYLE_STRENGTH_OUT_OF_RANGE": _compose(style_strength=1.01),
    "StoryConfig.sentiment_mode ENUM_UNKNOWN": _compose(sentiment_mode=4),
    "StoryConfig.motion MOTION_OUT_OF_RANGE": _compose(motion=1.01),
    "StoryConfig.react REACT_OUT_OF_RANGE": _compose(react=1.01),
    "StoryConfig.paint_rate PAINT_RATE_OUT_OF_RANGE": _compose(paint_rate=60.5),
    "StoryConfig.themes SELECTION_TOO_LONG": _compose(themes=["sea"] * 1025),
    "StoryConfig.themes THEME_UNKNOWN": _compose_song(sound(), themes=["sea"]),
    "StoryConfig.only SELECTION_TOO_LONG": _compose(only=["x" * 201]),
    "StoryConfig.only CONCEPT_NAME_UNKNOWN": _compose_song(sound(), only=["x"]),
    "StoryConfig.only CONCEPTS_TOO_FEW": _compose_song(sound(), only=["c1", "c2"]),
    "StoryConfig.without SELECTION_TOO_LONG": _compose(without=["c1"] * 1025),
    "StoryConfig.without CONCEPT_NAME_UNKNOWN": _compose_song(sound(), without=["x"]),
    "Mood MOOD_OUT_OF_RANGE": _compose(mood=pb.Mood(valence=1.01)),
    "StoryConfig.truncation TRUNCATION_OUT_OF_RANGE": _compose(truncation=1.01),
    "StoryConfig.image_format ENUM_UNKNOWN": _compose(image_format=5),
    "StoryConfig.jpeg_quality QUALITY_OUT_OF_RANGE": _compose(jpeg_quality=101),
    "StoryConfig.pacing ENUM_UNKNOWN": _compose(pacing=3),
    "StoryConfig.start_us PART_OUT_OF_RANGE": _compose_song(sound(), start_us=1_000_000),  # the song's very end
    "StoryConfig.duration_us PART_OUT_OF_RANGE": _compose(duration_us=499_999),
    "StoryConfig.files FILES_INVALID": _compose(files=[pb.STORY_FILE_KIND_VIDEO, pb.STORY_FILE_KIND_VIDEO]),
    "StoryConfig.title TITLE_TOO_LONG": _compose(title="é" * 201),
    "ResumePoint.story_digest RESUME_MISMATCH": _compose_song(sound(), resume=pb.ResumePoint(story_digest="00")),
    "ComposeRequest.payload CONFIG_MISSING": _compose(pb.ComposeRequest()),
    "ComposeRequest.config CONFIG_DUPLICATE": _compose(pb.ComposeRequest(config=pb.StoryConfig())),
    "ComposeRequest.audio_chunk CHUNK_TOO_LARGE": _compose(pb.ComposeRequest(audio_chunk=BIG)),
    "ComposeRequest.audio_chunk AUDIO_AFTER_END": _compose(
        pb.ComposeRequest(end_of_audio=pb.EndOfAudio()), pb.ComposeRequest(audio_chunk=b"late")
    ),
    "ComposeRequest.credit CREDIT_OUT_OF_RANGE": _compose(pb.ComposeRequest(credit=1_000_001)),
    "FrameRate.numerator FRAME_RATE_OUT_OF_RANGE": _compose(frame_rate=sentiment_pb2.FrameRate(denominator=1)),
    "FrameRate.denominator FRAME_RATE_OUT_OF_RANGE": _compose(
        frame_rate=sentiment_pb2.FrameRate(numerator=60_001, denominator=1001)
    ),
    "Size.width_px SIZE_OUT_OF_RANGE": _compose(size=sentiment_pb2.Size(width_px=1922, height_px=64)),
    "Size.height_px SIZE_OUT_OF_RANGE": _compose(size=sentiment_pb2.Size(width_px=64, height_px=62)),
}
NOWHERE = "0" * 32
OF_STORIES = {
    "CreateStoryRequest.payload CONFIG_MISSING": _create(pb.CreateStoryRequest()),
    "CreateStoryRequest.config CONFIG_DUPLICATE": _create(pb.CreateStoryRequest(config=pb.StoryConfig())),
    "CreateStoryRequest.config FILES_INVALID": _create(pacing=pb.PACING_LIVE),
    "CreateStoryRequest.audio_chunk CHUNK_TOO_LARGE": _create(pb.CreateStoryRequest(audio_chunk=BIG)),
    "CreateStoryRequest.idempotency_key IDEMPOTENCY_KEY_INVALID": _create(key="x" * 65),
    "GetStoryRequest.story_id STORY_NOT_FOUND": Crossing("GetStory", (pb.GetStoryRequest(story_id=NOWHERE),)),
    "ListStoriesRequest.page_size PAGE_INVALID": Crossing("ListStories", (pb.ListStoriesRequest(page_size=101),)),
    "ListStoriesRequest.page_token PAGE_INVALID": Crossing("ListStories", (pb.ListStoriesRequest(page_token="x"),)),
    "CancelStoryRequest.story_id STORY_NOT_FOUND": Crossing("CancelStory", (pb.CancelStoryRequest(story_id=NOWHERE),)),
    "WatchStoryRequest.story_id STORY_NOT_FOUND": Crossing("WatchStory", (pb.WatchStoryRequest(story_id=NOWHERE),)),
}
OF_GENERATOR = {
    "GenerateRequest.engine ENGINE_UNKNOWN": _generate(engine="dalle"),
    "GenerateRequest.frame_count BATCH_EMPTY": _generate(frame_count=0),
    "GenerateRequest.frame_count BATCH_TOO_LARGE": _generate(frame_count=17, class_weights=[1, 0, 0] * 17),
    "GenerateRequest.class_weights CLASS_WEIGHTS_SHAPE": _generate(class_weights=[1]),
    "GenerateRequest.class_weights CLASS_WEIGHTS_NOT_SIMPLEX": _generate(class_weights=[0.5, 0.502, 0]),
    "GenerateRequest.noise NOISE_SHAPE": _generate(noise=[0] * (NOISE + 1)),
    "GenerateRequest.noise NOISE_OUT_OF_RANGE": _generate(noise=[10.01, 0, 0, 0]),
    "GenerateRequest.truncation TRUNCATION_OUT_OF_RANGE": _generate(truncation=1.01),
    "GenerateRequest.style_weights STYLE_WEIGHTS_SHAPE": _generate(style_weights=[0] * (STYLES + 1)),
    "GenerateRequest.style_weights STYLE_WEIGHTS_INVALID": _generate(style_weights=[0.5, 0.502]),
    "GenerateRequest.image_format ENUM_UNKNOWN": _generate(image_format=sentiment_pb2.IMAGE_FORMAT_NONE),
    "GenerateRequest.jpeg_quality QUALITY_OUT_OF_RANGE": _generate(jpeg_quality=101),
    "GenerateRequest.priority ENUM_UNKNOWN": _generate(priority=3),
    "GenerateRequest.session_id SESSION_ID_TOO_LONG": _generate(session_id="x" * 65),
    "ListConceptsRequest.engine ENGINE_UNKNOWN": Crossing("ListConcepts", (gen.ListConceptsRequest(engine="dalle"),)),
}
OF_TRANSLATOR = {
    "Sentiment SENTIMENT_OUT_OF_RANGE": _translate(sentiments=[sentiment_pb2.Sentiment(arousal=1.001)]),
    "TranslateRequest.translator TRANSLATOR_UNKNOWN": _translate(translator="x"),
    "TranslateRequest.engine ENGINE_UNKNOWN": _translate(engine="dalle"),
    "TranslateRequest.sentiments BATCH_TOO_LARGE": _translate(sentiments=[sentiment_pb2.Sentiment()] * 1025),
    "TranslateRequest.sentiments BATCH_EMPTY": _translate(sentiments=[]),
    "TranslateRequest.recent_concepts CONCEPT_UNKNOWN": _translate(recent_concepts=[0] * 65),
    "TranslateRequest.allowed_concepts CONCEPT_UNKNOWN": _translate(allowed_concepts=[0, 1, 10_000]),
    "TranslateRequest.allowed_concepts CONCEPTS_TOO_FEW": _translate(allowed_concepts=[0, 1, 1]),
    "ReadPicturesRequest.engine ENGINE_UNKNOWN": _read(engine="dalle"),
    "ReadPicturesRequest.pictures BATCH_EMPTY": _read(0),
    "ReadPicturesRequest.pictures BATCH_TOO_LARGE": _read(65),
    "ReadPicturesRequest.pictures PICTURE_TOO_LARGE": Crossing(
        "ReadPictures", (tr.ReadPicturesRequest(pictures=[tr.Picture(image=bytes(2**20 - 50))] * 17),)
    ),
    "Picture.image PICTURE_UNREADABLE": _read(image=WORDS),
    "Picture.image PICTURE_TOO_LARGE": _read(image=picture() + bytes(2**20 + 1 - len(picture()))),
    "Picture.concepts CONCEPT_UNKNOWN": _read(concepts=(0,) * 17),
}
CROSSINGS: dict[str, Crossing] = {**OF_AUDIO, **OF_COMPOSER, **OF_STORIES, **OF_GENERATOR, **OF_TRANSLATOR}

# What no single call can break: time, other sessions, a service that is away, or hours of sound.
FLOW, SESSION = "tests/unit/composer/session/test_flow.py", "tests/unit/composer/session/test_session.py"
HELD, STORIES = "tests/unit/composer/upload/test_song_cache.py", "tests/unit/composer/stored/test_stories.py"
RESOURCES = "tests/unit/composer/upload/test_resources.py"
QUEUE = "tests/contract/generator/test_queue.py"
ANALYZED, READ = "tests/contract/audio_sentiment/test_analyze.py", "tests/contract/translator/test_read_pictures.py"
ELSEWHERE: dict[str, str] = {
    f"{ANALYZE} SONG_TOO_LARGE": f"{ANALYZED}::test_a_song_of_too_many_bytes_is_refused",
    f"{ANALYZE} SONG_TOO_LONG": f"{ANALYZED}::test_a_song_of_too_many_hours_is_refused",
    f"{ANALYZE} UPLOAD_STALLED": f"{ANALYZED}::test_a_stalled_upload_is_ended",
    f"{ANALYZE} DISK_FULL": f"{ANALYZED}::test_songs_of_all_streams_share_the_disk",
    f"{ANALYZE} SESSIONS_EXHAUSTED": f"{ANALYZED}::test_one_session_too_many_is_refused_with_a_time_to_retry",
    "AnalyzeConfig.live SONG_UNREADABLE": "tests/contract/audio_sentiment/test_encoded.py::"
    "test_an_m4a_with_its_index_at_the_end_plays_as_a_file_but_not_live",
    f"{COMPOSE} SONG_TOO_LARGE": "tests/unit/composer/session/test_refusals.py::test_a_song_over_the_limit_is_refused",
    f"{COMPOSE} SONG_TOO_LONG": "tests/limits/test_long_songs.py::test_four_hours_and_a_second_are_refused",
    f"{COMPOSE} UPLOAD_STALLED": f"{FLOW}::test_a_silent_upload_ends_the_session",
    f"{COMPOSE} CREDIT_STALLED": f"{FLOW}::test_credit_withheld_for_too_long_ends_the_session",
    f"{COMPOSE} DISK_FULL": f"{RESOURCES}::test_songs_on_their_way_share_the_disk_and_give_it_back",
    "ComposerService.Probe QUEUE_FULL": f"{RESOURCES}::test_more_songs_than_can_be_decoded_are_to_come_again",
    f"{COMPOSE} SESSIONS_EXHAUSTED": f"{SESSION}::test_one_session_too_many_is_refused_with_a_time_to_retry",
    f"{COMPOSE} DEPENDENCY_UNAVAILABLE": f"{SESSION}::test_a_generator_that_is_unavailable_for_too_long_is_named",
    "ComposerService.CreateStory STORIES_OFF": f"{STORIES}::test_a_composer_without_a_store_says_so",
    "ComposerService.CreateStory DEPENDENCY_UNAVAILABLE": f"{STORIES}::"
    "test_an_unavailable_store_is_reported_as_an_unavailable_service",
    "ComposerService.CreateStory QUEUE_FULL": f"{STORIES}::test_one_story_too_many_is_refused_until_another_has_ended",
    "CreateStoryRequest.idempotency_key IDEMPOTENCY_KEY_REUSED": f"{STORIES}::"
    "test_a_key_makes_a_request_one_and_is_refused_for_another",
    "ResumePoint.song_digest AUDIO_AFTER_END": f"{HELD}::test_audio_beside_a_held_song_is_refused",
    "ResumePoint.song_digest RESUME_MISMATCH": f"{HELD}::"
    "test_another_song_than_the_one_announced_is_refused_once_it_has_come",
    "ResumePoint.next_seq RESUME_OUT_OF_RANGE": f"{SESSION}::test_a_resume_point_of_another_story_is_refused",
    "GeneratorService.Generate QUEUE_FULL": f"{QUEUE}::test_a_full_queue_says_when_to_come_again",
    "GeneratorService.Generate DEADLINE_PASSED": f"{QUEUE}::"
    "test_the_callers_deadline_comes_with_the_batch_and_one_that_cannot_be_met_is_refused_unpainted",
    "GeneratorService.Generate DEPENDENCY_UNAVAILABLE": f"{QUEUE}::"
    "test_a_device_without_memory_says_when_to_come_again",
    "TranslatorService.ReadPictures JUDGE_MISSING": f"{READ}::test_a_server_without_a_judge_says_so_and_translates",
    "TranslatorService.ReadPictures QUEUE_FULL": f"{READ}::test_more_than_can_be_held_is_to_come_again",
}
