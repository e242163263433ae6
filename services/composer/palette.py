"""What the services behind can do for one story: asked once, before its first message."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepsing.runtime.errors import InvalidInput
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1 import generator_pb2, translator_pb2
from services.composer.peers import Peers
from services.composer.plan import StoryPlan
from services.composer.scale import Norm

__all__ = ["Palette"]


@dataclass(frozen=True)
class Palette:
    """What the generator can paint: its engine, concepts (and what is typical of them), styles, and digests."""

    engine: generator_pb2.Engine
    concepts: tuple[str, ...]
    norm: Norm
    styles: tuple[str, ...]
    style_sentiments: NDArray[np.float64]
    digests: dict[str, str]

    @classmethod
    async def of(cls, plan: StoryPlan, peers: Peers) -> Palette:
        """Asks the services; raises InvalidInput where the plan names something that they do not have."""
        asked = generator_pb2.ListConceptsRequest(engine=plan.engine)
        vocabulary = await peers.call(peers.generator.ListConcepts, asked, "generator")
        manners = await peers.call(peers.generator.ListStyles, generator_pb2.ListStylesRequest(), "generator")
        tongues = await peers.call(
            peers.translator.ListTranslators, translator_pb2.ListTranslatorsRequest(), "translator"
        )
        styles = tuple(style.name for style in manners.styles)
        if plan.style not in ("none", "auto", *styles):
            message = f"style is '{plan.style}'; choose auto, none or one of: {', '.join(styles)}"
            reason = reasons.ERROR_REASON_STYLE_UNKNOWN
            raise InvalidInput(message, reason=reason, field="style", value=plan.style)
        spoken = plan.engine or next((tongue.engine for tongue in tongues.translators), "")
        translators = {tongue.name: tongue.digest for tongue in tongues.translators if tongue.engine == spoken}
        if not translators:
            known = ", ".join(sorted({tongue.engine for tongue in tongues.translators}))
            message = f"engine is '{spoken}', which the translator does not know; choose one of: {known}"
            raise InvalidInput(message, reason=reasons.ERROR_REASON_ENGINE_UNKNOWN, field="engine", value=spoken)
        name = plan.translator or next(iter(translators), "")
        if name not in translators:
            message = f"translator is '{name}'; choose one of: {', '.join(translators)}"
            reason = reasons.ERROR_REASON_TRANSLATOR_UNKNOWN
            raise InvalidInput(message, reason=reason, field="translator", value=name)
        digests = {"engine": vocabulary.engine.digest, "translator": translators[name]}
        if plan.style != "none":
            digests["style"] = manners.digest
        return cls(
            engine=vocabulary.engine,
            concepts=tuple(concept.name for concept in vocabulary.concepts),
            norm=Norm.of(_sentiments(vocabulary.concepts)),
            styles=styles,
            style_sentiments=_sentiments(manners.styles),
            digests=digests,
        )


def _sentiments(rated: Iterable[generator_pb2.Concept] | Iterable[generator_pb2.Style]) -> NDArray[np.float64]:
    """(n, 2): arousal and valence."""
    return np.array([(one.sentiment.arousal, one.sentiment.valence) for one in rated], np.float64)
