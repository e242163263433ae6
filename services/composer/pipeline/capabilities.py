"""What the other services offer for one story: models, concepts and styles, fetched once before it starts."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deepsing.rpc.errors import InvalidArgument, Unavailable
from deepsing.v1 import audio_sentiment_pb2, generator_pb2, sentiment_pb2, translator_pb2
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.backends.client import Backends
from services.composer.pipeline.selection import select_concepts
from services.composer.pipeline.storyboard import check_names
from services.composer.story.plan import Size, StoryPlan
from services.composer.story.scale import Norm

__all__ = ["RATERS", "Capabilities"]

DIGITS = 6  # precision of a float32 of the contract, so that 0.05 is 0.05 again
RATERS = {
    sentiment_pb2.RATING_SOURCE_UNSPECIFIED: "",
    sentiment_pb2.RATING_SOURCE_PEOPLE: "people",
    sentiment_pb2.RATING_SOURCE_MODEL: "model",
    sentiment_pb2.RATING_SOURCE_MIXED: "mixed",
}


@dataclass(frozen=True)
class Capabilities:
    """What the other services offer for a story.

    Attributes:
        engine, translator: their names, also if the plan names none.
        native_size: of the engine's pictures.
        concepts: the engine's concepts, in the order of class weights.
        norm: mean and spread of the concepts' sentiments.
        rated_by: who rated the concepts that may be shown: "people", "model", "mixed", or "" if nobody says.
        hearing: which audio decides a point of audio_sentiment: LIVE for live stories, else WHOLE.
        music: mean and spread of audio_sentiment's sentiments over music in general, with this hearing.
        lag_s: delay of audio_sentiment's sentiments behind the music, with this hearing.
        styles: the generator's styles, in the order of style weights.
        style_sentiments: (styles, 2), arousal and valence of each.
        digests: of all models, by kind of model; see SessionEnd.digests.
        paint_rate: pictures to paint a second: what the plan asks for, else the lowest that engine and style ask for;
            0 is as many as frames.
        allowed: numbers of the concepts that the plan allows to be shown, in order; empty for all.
        warnings: what a viewer should know of this choice; one sentence each.
        concept_sentiments: (concepts, 2), rated arousal and valence of each.
    """

    engine: str
    translator: str
    native_size: Size
    concepts: tuple[str, ...]
    norm: Norm
    rated_by: str
    hearing: audio_sentiment_pb2.Hearing.ValueType
    music: Norm
    lag_s: float
    styles: tuple[str, ...]
    style_sentiments: NDArray[np.float64]
    digests: dict[str, str]
    paint_rate: float = 0.0
    allowed: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    concept_sentiments: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))

    @classmethod
    async def fetch(cls, plan: StoryPlan, backends: Backends) -> "Capabilities":
        """Asks the services. Raises InvalidArgument if the plan names something that they do not have."""
        try:
            async with asyncio.TaskGroup() as group:
                model_task = group.create_task(
                    backends.call(
                        backends.audio_sentiment.GetModel, audio_sentiment_pb2.GetModelRequest(), "audio_sentiment"
                    )
                )
                vocabulary_task = group.create_task(_fetch_vocabulary(plan, backends))
                translators_task = group.create_task(
                    backends.call(
                        backends.translator.ListTranslators, translator_pb2.ListTranslatorsRequest(), "translator"
                    )
                )
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        vocabulary, style_list = vocabulary_task.result()
        engine, listed, styles = vocabulary.engine, vocabulary.concepts, style_list.styles
        hearing = _choose_hearing(plan, model := model_task.result())
        translator = _choose_translator(plan, translators_task.result().translators)
        digests = {"audio_sentiment": model.digest, "engine": engine.digest, "translator": translator.digest}
        names, concepts = _check_style(plan, styles), tuple(concept.name for concept in listed)
        check_names(plan.storyboard, concepts, names)
        selection = select_concepts(plan, engine.name, listed)
        if plan.is_styled:
            digests["style"] = style_list.digest
        return cls(
            engine=engine.name,
            translator=translator.name,
            native_size=Size(engine.native_size.width_px, engine.native_size.height_px),
            concepts=concepts,
            norm=Norm.of(_sentiments(listed)),
            rated_by=RATERS.get(_find_rater(engine, [listed[one].rated_by for one in selection.allowed]), ""),
            hearing=hearing.hearing,
            music=_parse_norm(hearing),
            lag_s=hearing.lag_us / 1e6,
            styles=names,
            style_sentiments=_sentiments(styles),
            digests=digests,
            paint_rate=_choose_paint_rate(plan, engine, style_list),
            allowed=selection.allowed,
            warnings=selection.warnings,
            concept_sentiments=_sentiments(listed),
        )


async def _fetch_vocabulary(
    plan: StoryPlan, backends: Backends
) -> tuple[generator_pb2.ListConceptsResponse, generator_pb2.ListStylesResponse]:
    """The generator's concepts and styles. One call after the other: an open circuit breaker admits only one."""
    asked = generator_pb2.ListConceptsRequest(engine=plan.engine)
    vocabulary = await backends.call(backends.generator.ListConcepts, asked, "generator")
    return vocabulary, await backends.call(
        backends.generator.ListStyles, generator_pb2.ListStylesRequest(), "generator"
    )


def _check_style(plan: StoryPlan, styles: Iterable[generator_pb2.Style]) -> tuple[str, ...]:
    """The names of the styles. Raises InvalidArgument STYLE_UNKNOWN if the plan's is none of them."""
    names = tuple(style.name for style in styles)
    if plan.style not in ("none", "auto", *names):
        message = f"style is '{plan.style}'; choose auto, none or one of: {', '.join(names)}"
        raise InvalidArgument(message, reason=reasons.ERROR_REASON_STYLE_UNKNOWN, field="style", value=plan.style)
    return names


def _find_rater(
    engine: generator_pb2.Engine, raters: Iterable[sentiment_pb2.RatingSource.ValueType]
) -> sentiment_pb2.RatingSource.ValueType:
    """Who rated what may be shown: the engine's rater, or where those are mixed, the one that rated all of it."""
    kinds = set(raters)
    if engine.rated_by != sentiment_pb2.RATING_SOURCE_MIXED or len(kinds) != 1:
        return engine.rated_by
    (rater,) = kinds
    return rater or engine.rated_by


def _choose_translator(plan: StoryPlan, available: Iterable[translator_pb2.Translator]) -> translator_pb2.Translator:
    """The translator that the plan names, or the first one for the plan's engine."""
    available = list(available)
    engine = plan.engine or next((one.engine for one in available), "")
    translators = {one.name: one for one in available if one.engine == engine}
    if not translators:
        known = ", ".join(sorted({one.engine for one in available}))
        message = f"engine is '{engine}', which the translator does not know; choose one of: {known}"
        raise InvalidArgument(message, reason=reasons.ERROR_REASON_ENGINE_UNKNOWN, field="engine", value=engine)
    name = plan.translator or next(iter(translators), "")
    if name not in translators:
        message = f"translator is '{name}'; choose one of: {', '.join(translators)}"
        reason = reasons.ERROR_REASON_TRANSLATOR_UNKNOWN
        raise InvalidArgument(message, reason=reason, field="translator", value=name)
    return translators[name]


def _choose_paint_rate(
    plan: StoryPlan, engine: generator_pb2.Engine, styles: generator_pb2.ListStylesResponse
) -> float:
    """Pictures a second; a generator of an older release asks for none, and paints every frame."""
    if plan.paint_rate:
        return plan.paint_rate
    wanted = [engine.paint_rate, styles.paint_rate] if plan.is_styled else [engine.paint_rate]
    return min((rate for rate in wanted if rate > 0), default=0.0)


def _choose_hearing(plan: StoryPlan, model: audio_sentiment_pb2.GetModelResponse) -> audio_sentiment_pb2.HearingModel:
    """What a story must know of the audio model: of the hearing LIVE if it is live, else of WHOLE.

    Raises:
        Unavailable: DEPENDENCY_UNAVAILABLE if audio_sentiment is of an older release and does not send it.
    """
    wanted = audio_sentiment_pb2.HEARING_LIVE if plan.live else audio_sentiment_pb2.HEARING_WHOLE
    for one in model.hearings:
        spread = one.typical_spread
        if one.hearing == wanted and 0 < spread.arousal <= 1 and 0 < spread.valence <= 1 and one.lag_us >= 0:
            return one
    message = "audio_sentiment does not say what is typical of music; deploy it in this composer's version"
    raise Unavailable(message, reason=reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE, service="audio_sentiment")


def _parse_norm(model: audio_sentiment_pb2.HearingModel) -> Norm:
    """The audio model's mean and spread over music in general."""
    pairs = (np.array([one.arousal, one.valence]).round(DIGITS) for one in (model.typical_mean, model.typical_spread))
    return Norm(*pairs)


def _sentiments(rated: Iterable[generator_pb2.Concept] | Iterable[generator_pb2.Style]) -> NDArray[np.float64]:
    """Arousal and valence, (n, 2)."""
    return np.array([(one.sentiment.arousal, one.sentiment.valence) for one in rated], np.float64)
