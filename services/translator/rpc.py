"""The translator on the wire: checks requests against the contract and converts; the maths is in translate.py."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deepsing.runtime.artifacts import load_artifact
from deepsing.runtime.errors import InvalidInput, Unmet
from deepsing.runtime.server import Service
from deepsing.runtime.settings import SettingsError, settings_from_environment
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1 import sentiment_pb2, translator_pb2, translator_pb2_grpc
from services.translator.catalogue import EMBEDDED, open_translators
from services.translator.judging import LARGEST_REQUEST_BYTES, Desk, check_count
from services.translator.lexicon import F64, Lexicon
from services.translator.settings import PREFIX, Settings
from services.translator.translate import MEMORY, NOISE_SIZE, Passage, Translator, translate

__all__ = ["SERVICE", "TranslatorServicer"]

MAX_SENTIMENTS = 1024  # of one request; a longer story is cut, without changing an answer


class TranslatorServicer(translator_pb2_grpc.TranslatorServiceServicer):
    """Answers Translate, ListTranslators and ReadPictures.

    Args:
        translators: by name, the default first.
        desk: reads pictures; None where there is no judge.
    """

    def __init__(self, translators: Mapping[str, Translator], desk: Desk | None = None) -> None:
        self._translators = dict(translators)
        self._desk = desk

    async def close(self) -> None:
        """Drops what waits to be read."""
        if self._desk is not None:
            self._desk.close()

    async def Translate(  # noqa: N802 (the contract's name)
        self, request: translator_pb2.TranslateRequest, context: Any
    ) -> translator_pb2.TranslateResponse:
        """Translates a run of feelings."""
        translator = self._chosen(request)
        passage = _passage(request, len(translator.lexicon.names))
        # A thousand feelings take a second: not on the loop that answers health checks.
        translation = await asyncio.to_thread(translate, translator, passage)
        return translator_pb2.TranslateResponse(
            concept_count=len(translator.lexicon.names),
            noise_size=NOISE_SIZE,
            class_weights=translation.class_weights.ravel().tolist(),
            noise=translation.noise.ravel().tolist(),
            expected=[_sentiment(row) for row in translation.expected.tolist()],
            model_digest=translator.digest,
        )

    async def ListTranslators(  # noqa: N802 (the contract's name)
        self, request: translator_pb2.ListTranslatorsRequest, context: Any
    ) -> translator_pb2.ListTranslatorsResponse:
        """Names the translators, the default first."""
        listed = [
            translator_pb2.Translator(
                name=name,
                description=translator.description,
                engine=translator.lexicon.engine,
                digest=translator.digest,
            )
            for name, translator in self._translators.items()
        ]
        return translator_pb2.ListTranslatorsResponse(translators=listed)

    async def ReadPictures(  # noqa: N802 (the contract's name)
        self, request: translator_pb2.ReadPicturesRequest, context: Any
    ) -> translator_pb2.ReadPicturesResponse:
        """Reads off pictures what people would feel."""
        if self._desk is None:
            message = "this translator has no judge of pictures; give it the weights of one"
            raise Unmet(message, reason=reasons.ERROR_REASON_JUDGE_MISSING)
        return await self._desk.read(request, self._lexicon(request.engine))

    def _lexicon(self, engine: str) -> Lexicon:
        lexicons = {one.lexicon.engine: one.lexicon for one in reversed(self._translators.values())}
        default = next(iter(self._translators.values())).lexicon.engine
        if (engine or default) not in lexicons:
            message = f"engine is {engine!r}; choose one of: {', '.join(lexicons)}"
            reason = reasons.ERROR_REASON_ENGINE_UNKNOWN
            raise InvalidInput(message, reason=reason, field="engine", value=engine)
        return lexicons[engine or default]

    def _chosen(self, request: translator_pb2.TranslateRequest) -> Translator:
        name = request.translator or next(iter(self._translators))
        if name not in self._translators:
            raise InvalidInput(
                f"translator is {name!r}; choose one of: {', '.join(self._translators)}",
                reason=reasons.ERROR_REASON_TRANSLATOR_UNKNOWN,
                field="translator",
                value=name,
            )
        engine = self._translators[name].lexicon.engine
        if request.engine not in ("", engine):
            raise InvalidInput(
                f"engine is {request.engine!r}; choose one of: {engine}",
                reason=reasons.ERROR_REASON_ENGINE_UNKNOWN,
                field="engine",
                value=request.engine,
            )
        return self._translators[name]


def _passage(request: translator_pb2.TranslateRequest, concept_count: int) -> Passage:
    check_count(len(request.sentiments), MAX_SENTIMENTS, "sentiments")
    return Passage(
        sentiments=_plane(request),
        seed=request.seed,
        first_index=request.first_index,
        recent_concepts=_recent(request, concept_count),
    )


def _plane(request: translator_pb2.TranslateRequest) -> F64:
    """The request's sentiments, (n, 2)."""
    sentiments = np.array([(s.arousal, s.valence) for s in request.sentiments], dtype=np.float64)
    wrong = np.argwhere(~(np.abs(sentiments) <= 1))  # NaN is wrong too
    if len(wrong):
        row, dimension = wrong[0]
        name, value = ("arousal", "valence")[dimension], float(sentiments[row, dimension])
        raise InvalidInput(
            f"{name} of sentiment {row} is {value:g}; send -1 to 1",
            reason=reasons.ERROR_REASON_SENTIMENT_OUT_OF_RANGE,
            field=f"sentiments[{row}].{name}",
            value=f"{value:g}",
        )
    return sentiments


def _recent(request: translator_pb2.TranslateRequest, concept_count: int) -> tuple[int, ...]:
    recent = tuple(request.recent_concepts)
    if len(recent) > MEMORY:
        raise InvalidInput(
            f"recent_concepts has {len(recent)} concepts; send the latest {MEMORY}",
            reason=reasons.ERROR_REASON_CONCEPT_UNKNOWN,
            field="recent_concepts",
            value=len(recent),
        )
    unknown = next((concept for concept in recent if concept >= concept_count), None)
    if unknown is not None:
        raise InvalidInput(
            f"concept is {unknown}; choose 0 to {concept_count - 1}",
            reason=reasons.ERROR_REASON_CONCEPT_UNKNOWN,
            field="recent_concepts",
            value=unknown,
        )
    return recent


def _sentiment(row: list[float]) -> sentiment_pb2.Sentiment:
    return sentiment_pb2.Sentiment(arousal=row[0], valence=row[1])


async def _open() -> TranslatorServicer:
    settings = settings_from_environment(Settings, PREFIX)
    folder = Path(settings.weights) if settings.weights else EMBEDDED
    for manifest in sorted(folder.glob("*_views.json")):
        load_artifact(manifest)
    translators = open_translators(folder)
    if settings.default not in translators:
        raise SettingsError(f"{PREFIX}DEFAULT is {settings.default!r}; choose one of: {', '.join(translators)}")
    for translator in translators.values():
        translate(translator, Passage(np.zeros((1, 2))))  # the first call pays for what is loaded lazily
    order = sorted(translators, key=lambda name: (name != settings.default, name))
    return TranslatorServicer({name: translators[name] for name in order}, await asyncio.to_thread(Desk.opened, folder))


SERVICE = Service(
    name="translator",
    grpc_name="deepsing.v1.TranslatorService",
    register=translator_pb2_grpc.add_TranslatorServiceServicer_to_server,
    open=_open,
    largest_request_bytes=LARGEST_REQUEST_BYTES,
)
