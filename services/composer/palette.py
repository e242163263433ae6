"""What the services behind can do for one story: asked once, before its first message."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepsing.runtime.errors import InvalidInput
from deepsing.v1 import audio_sentiment_pb2, generator_pb2, translator_pb2
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.peers import Peers
from services.composer.plan import StoryPlan
from services.composer.scale import Norm

__all__ = ["Palette"]


@dataclass(frozen=True)
class Palette:
    """What the generator can paint: its engine, concepts (and what is typical of them), styles; and all digests."""

    engine: generator_pb2.Engine
    concepts: tuple[str, ...]
    norm: Norm
    styles: tuple[str, ...]
    style_sentiments: NDArray[np.float64]
    digests: dict[str, str]

    @classmethod
    async def of(cls, plan: StoryPlan, peers: Peers) -> Palette:
        """Asks the services; raises InvalidInput where the plan names something that they do not have."""
        try:
            async with asyncio.TaskGroup() as group:
                ear = group.create_task(
                    peers.call(peers.audio_sentiment.GetModel, audio_sentiment_pb2.GetModelRequest(), "audio_sentiment")
                )
                painted = group.create_task(_of_generator(plan, peers))
                tongues = group.create_task(
                    peers.call(peers.translator.ListTranslators, translator_pb2.ListTranslatorsRequest(), "translator")
                )
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        vocabulary, manners = painted.result()
        engine, listed, styles = vocabulary.engine, vocabulary.concepts, manners.styles
        digests = {"audio_sentiment": ear.result().digest, "engine": engine.digest}
        digests["translator"] = _translator_digest(plan, tongues.result().translators)
        names = tuple(style.name for style in styles)
        if plan.style not in ("none", "auto", *names):
            message = f"style is '{plan.style}'; choose auto, none or one of: {', '.join(names)}"
            raise InvalidInput(message, reason=reasons.ERROR_REASON_STYLE_UNKNOWN, field="style", value=plan.style)
        if plan.style != "none":
            digests["style"] = manners.digest
        return cls(
            engine=engine,
            concepts=tuple(concept.name for concept in listed),
            norm=Norm.of(_sentiments(listed)),
            styles=names,
            style_sentiments=_sentiments(styles),
            digests=digests,
        )


async def _of_generator(
    plan: StoryPlan, peers: Peers
) -> tuple[generator_pb2.ListConceptsResponse, generator_pb2.ListStylesResponse]:
    """Its concepts and styles, asked one after the other: where it was away, only one call may try it."""
    asked = generator_pb2.ListConceptsRequest(engine=plan.engine)
    vocabulary = await peers.call(peers.generator.ListConcepts, asked, "generator")
    return vocabulary, await peers.call(peers.generator.ListStyles, generator_pb2.ListStylesRequest(), "generator")


def _translator_digest(plan: StoryPlan, tongues: Iterable[translator_pb2.Translator]) -> str:
    """Of the translator that the plan means, for the engine that it means."""
    tongues = list(tongues)
    spoken = plan.engine or next((tongue.engine for tongue in tongues), "")
    translators = {tongue.name: tongue.digest for tongue in tongues if tongue.engine == spoken}
    if not translators:
        known = ", ".join(sorted({tongue.engine for tongue in tongues}))
        message = f"engine is '{spoken}', which the translator does not know; choose one of: {known}"
        raise InvalidInput(message, reason=reasons.ERROR_REASON_ENGINE_UNKNOWN, field="engine", value=spoken)
    name = plan.translator or next(iter(translators), "")
    if name not in translators:
        message = f"translator is '{name}'; choose one of: {', '.join(translators)}"
        reason = reasons.ERROR_REASON_TRANSLATOR_UNKNOWN
        raise InvalidInput(message, reason=reason, field="translator", value=name)
    return translators[name]


def _sentiments(rated: Iterable[generator_pb2.Concept] | Iterable[generator_pb2.Style]) -> NDArray[np.float64]:
    """(n, 2): arousal and valence."""
    return np.array([(one.sentiment.arousal, one.sentiment.valence) for one in rated], np.float64)
