"""What the services behind can do for one story: asked once, before its first message."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import audio_sentiment_pb2, generator_pb2, translator_pb2
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.backends.client import Backends
from services.composer.session.config import StoryPlan
from services.composer.story.scale import Norm

__all__ = ["Capabilities"]


@dataclass(frozen=True)
class Capabilities:
    """What the generator can paint: its engine, concepts (and what is typical of them), styles; and all digests."""

    engine: generator_pb2.Engine
    concepts: tuple[str, ...]
    norm: Norm
    styles: tuple[str, ...]
    style_sentiments: NDArray[np.float64]
    digests: dict[str, str]

    @classmethod
    async def fetch(cls, plan: StoryPlan, backends: Backends) -> Capabilities:
        """Asks the services; raises InvalidArgument where the plan names something that they do not have."""
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
        digests = {"audio_sentiment": model_task.result().digest, "engine": engine.digest}
        digests["translator"] = _translator_digest(plan, translators_task.result().translators)
        names = tuple(style.name for style in styles)
        if plan.style not in ("none", "auto", *names):
            message = f"style is '{plan.style}'; choose auto, none or one of: {', '.join(names)}"
            raise InvalidArgument(message, reason=reasons.ERROR_REASON_STYLE_UNKNOWN, field="style", value=plan.style)
        if plan.style != "none":
            digests["style"] = style_list.digest
        return cls(
            engine=engine,
            concepts=tuple(concept.name for concept in listed),
            norm=Norm.of(_sentiments(listed)),
            styles=names,
            style_sentiments=_sentiments(styles),
            digests=digests,
        )


async def _fetch_vocabulary(
    plan: StoryPlan, backends: Backends
) -> tuple[generator_pb2.ListConceptsResponse, generator_pb2.ListStylesResponse]:
    """Its concepts and styles, asked one after the other: where it was away, only one call may try it."""
    asked = generator_pb2.ListConceptsRequest(engine=plan.engine)
    vocabulary = await backends.call(backends.generator.ListConcepts, asked, "generator")
    return vocabulary, await backends.call(
        backends.generator.ListStyles, generator_pb2.ListStylesRequest(), "generator"
    )


def _translator_digest(plan: StoryPlan, available: Iterable[translator_pb2.Translator]) -> str:
    """Of the translator that the plan means, for the engine that it means."""
    available = list(available)
    engine = plan.engine or next((one.engine for one in available), "")
    translators = {one.name: one.digest for one in available if one.engine == engine}
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


def _sentiments(rated: Iterable[generator_pb2.Concept] | Iterable[generator_pb2.Style]) -> NDArray[np.float64]:
    """(n, 2): arousal and valence."""
    return np.array([(one.sentiment.arousal, one.sentiment.valence) for one in rated], np.float64)
