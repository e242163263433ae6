"""TranslatorService: checks requests against the contract and converts messages; the maths is in translate.py."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deepsing.access.server_security import security_from_environment
from deepsing.rpc.errors import FailedPrecondition, InvalidArgument
from deepsing.runtime.artifacts import load_artifact
from deepsing.runtime.server import Service
from deepsing.runtime.settings import SettingsError, parse_folders, settings_from_environment
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1 import sentiment_pb2, translator_pb2, translator_pb2_grpc
from services.translator.catalogue import EMBEDDED, open_catalogue
from services.translator.judge.service import LARGEST_REQUEST_BYTES, JudgeService, check_count
from services.translator.lexicon import F64, Lexicon
from services.translator.settings import PREFIX, Settings
from services.translator.translate import MEMORY, NOISE_SIZE, Passage, Translator, translate

__all__ = ["SERVICE", "TranslatorServicer"]

MAX_SENTIMENTS = 1024  # of one request; only for `original` it matters where a longer story is cut
LEAST_ALLOWED = 3  # concepts that a choice must leave: one that is shown, one that follows, and one not shown lately


class TranslatorServicer(translator_pb2_grpc.TranslatorServiceServicer):
    """Answers Translate, ListTranslators and ReadPictures.

    Args:
        translators: engine → name → translator, the defaults first.
        judge_service: judges pictures; None if there is no judge.
    """

    def __init__(
        self, translators: Mapping[str, Mapping[str, Translator]], judge_service: JudgeService | None = None
    ) -> None:
        self._translators = dict(translators)
        self._judge_service = judge_service

    async def close(self) -> None:
        """Drops pictures that wait for the judge."""
        if self._judge_service is not None:
            self._judge_service.close()

    async def Translate(  # noqa: N802 (the contract's name)
        self, request: translator_pb2.TranslateRequest, context: Any
    ) -> translator_pb2.TranslateResponse:
        """Translates a sequence of sentiments."""
        translator = self._find_translator(request)
        passage = _parse_passage(request, len(translator.lexicon.names))
        # A thousand sentiments take a second: too long for the loop that answers health checks.
        translation = await asyncio.to_thread(translate, translator, passage)
        return translator_pb2.TranslateResponse(
            concept_count=len(translator.lexicon.names),
            noise_size=NOISE_SIZE,
            class_weights=translation.class_weights.ravel().tolist(),
            noise=translation.noise.ravel().tolist(),
            expected=[_encode_sentiment(row) for row in translation.expected.tolist()],
            model_digest=translator.digest,
        )

    async def ListTranslators(  # noqa: N802 (the contract's name)
        self, request: translator_pb2.ListTranslatorsRequest, context: Any
    ) -> translator_pb2.ListTranslatorsResponse:
        """Lists the translators, the default first."""
        listed = [
            translator_pb2.Translator(
                name=name,
                description=translator.description,
                engine=translator.lexicon.engine,
                digest=translator.digest,
            )
            for named in self._translators.values()
            for name, translator in named.items()
        ]
        return translator_pb2.ListTranslatorsResponse(translators=listed)

    async def ReadPictures(  # noqa: N802 (the contract's name)
        self, request: translator_pb2.ReadPicturesRequest, context: Any
    ) -> translator_pb2.ReadPicturesResponse:
        """Predicts what people would feel at pictures."""
        if self._judge_service is None:
            message = f"this translator has no judge of pictures; set {PREFIX}JUDGE to on"
            raise FailedPrecondition(message, reason=reasons.ERROR_REASON_JUDGE_MISSING)
        return await self._judge_service.read(request, self._find_engine(request.engine)[1])

    def _find_engine(self, engine: str) -> tuple[Mapping[str, Translator], Lexicon]:
        """An engine's translators and its concepts."""
        named = self._translators.get(engine or next(iter(self._translators)))
        if named is None:
            message = f"engine is {engine!r}; choose one of: {', '.join(self._translators)}"
            reason = reasons.ERROR_REASON_ENGINE_UNKNOWN
            raise InvalidArgument(message, reason=reason, field="engine", value=engine)
        return named, next(iter(named.values())).lexicon

    def _find_translator(self, request: translator_pb2.TranslateRequest) -> Translator:
        named, lexicon = self._find_engine(request.engine)
        name = request.translator or next(iter(named))
        if name not in named:
            raise InvalidArgument(
                f"translator is {name!r}; choose one of {lexicon.engine}: {', '.join(named)}",
                reason=reasons.ERROR_REASON_TRANSLATOR_UNKNOWN,
                field="translator",
                value=name,
            )
        return named[name]


def _parse_passage(request: translator_pb2.TranslateRequest, concept_count: int) -> Passage:
    check_count(len(request.sentiments), MAX_SENTIMENTS, "sentiments")
    return Passage(
        sentiments=_parse_sentiments(request),
        seed=request.seed,
        first_index=request.first_index,
        recent_concepts=_parse_recent(request, concept_count),
        allowed_concepts=_parse_allowed(request, concept_count),
    )


def _parse_sentiments(request: translator_pb2.TranslateRequest) -> F64:
    """The request's sentiments, (n, 2)."""
    sentiments = np.array([(s.arousal, s.valence) for s in request.sentiments], dtype=np.float64)
    wrong = np.argwhere(~(np.abs(sentiments) <= 1))  # NaN is wrong too
    if len(wrong):
        row, dimension = wrong[0]
        name, value = ("arousal", "valence")[dimension], float(sentiments[row, dimension])
        raise InvalidArgument(
            f"{name} of sentiment {row} is {value:g}; send -1 to 1",
            reason=reasons.ERROR_REASON_SENTIMENT_OUT_OF_RANGE,
            field=f"sentiments[{row}].{name}",
            value=f"{value:g}",
        )
    return sentiments


def _parse_recent(request: translator_pb2.TranslateRequest, concept_count: int) -> tuple[int, ...]:
    recent = tuple(request.recent_concepts)
    if len(recent) > MEMORY:
        raise InvalidArgument(
            f"recent_concepts has {len(recent)} concepts; send the latest {MEMORY}",
            reason=reasons.ERROR_REASON_CONCEPT_UNKNOWN,
            field="recent_concepts",
            value=len(recent),
        )
    _check_known(recent, concept_count, "recent_concepts")
    return recent


def _parse_allowed(request: translator_pb2.TranslateRequest, concept_count: int) -> tuple[int, ...]:
    """The concepts that may be chosen, each once; empty for all."""
    allowed, field = tuple(request.allowed_concepts), "allowed_concepts"
    if len(allowed) > concept_count:
        message = f"{field} has {len(allowed)} concepts; the engine has {concept_count}, send each once at most"
        reason = reasons.ERROR_REASON_CONCEPT_UNKNOWN
        raise InvalidArgument(message, reason=reason, field=field, value=len(allowed))
    _check_known(allowed, concept_count, field)
    different = tuple(sorted(set(allowed)))
    if different and len(different) < LEAST_ALLOWED:
        message = f"{field} has {len(different)} different concepts; send at least {LEAST_ALLOWED}, or none for all"
        raise InvalidArgument(message, reason=reasons.ERROR_REASON_CONCEPTS_TOO_FEW, field=field, value=len(different))
    return different


def _check_known(concepts: Iterable[int], concept_count: int, field: str) -> None:
    """Raises InvalidArgument CONCEPT_UNKNOWN for a concept that the engine does not have."""
    unknown = next((concept for concept in concepts if concept >= concept_count), None)
    if unknown is not None:
        message, reason = f"concept is {unknown}; choose 0 to {concept_count - 1}", reasons.ERROR_REASON_CONCEPT_UNKNOWN
        raise InvalidArgument(message, reason=reason, field=field, value=unknown)


def _encode_sentiment(row: list[float]) -> sentiment_pb2.Sentiment:
    return sentiment_pb2.Sentiment(arousal=row[0], valence=row[1])


async def _open() -> TranslatorServicer:
    settings = settings_from_environment(Settings, PREFIX)
    folders = _check_folders(settings)
    catalogue = open_catalogue(folders)
    if settings.engine not in catalogue:
        raise SettingsError(f"{PREFIX}ENGINE is {settings.engine!r}; choose one of: {', '.join(catalogue)}")
    known = catalogue[settings.engine]
    if settings.default not in known:
        raise SettingsError(f"{PREFIX}DEFAULT is {settings.default!r}; choose one of: {', '.join(known)}")
    for translator in (one for named in catalogue.values() for one in named.values()):
        translate(translator, Passage(np.zeros((1, 2))))  # the first call loads what is loaded lazily
    ordered = {
        engine: {name: catalogue[engine][name] for name in _sort_default_first(settings.default, catalogue[engine])}
        for engine in _sort_default_first(settings.engine, catalogue)
    }
    judge_service = await asyncio.to_thread(JudgeService.from_folders, folders) if settings.judge == "on" else None
    return TranslatorServicer(ordered, judge_service)


def _check_folders(settings: Settings) -> list[Path]:
    """The search path; raises SettingsError for no folder, ArtifactError if views differ from their manifest."""
    folders = parse_folders(f"{PREFIX}WEIGHTS", settings.weights)
    for manifest in sorted(path for folder in (*folders, EMBEDDED) for path in folder.glob("*_views.json")):
        load_artifact(manifest)
    return folders


def _sort_default_first(name: str, names: Iterable[str]) -> list[str]:
    """Sorts names, the default first."""
    return sorted(names, key=lambda one: (one != name, one))


SERVICE = Service(
    name="translator",
    grpc_name="deepsing.v1.TranslatorService",
    register=translator_pb2_grpc.add_TranslatorServiceServicer_to_server,
    open=_open,
    protect=security_from_environment,
    large_methods=("ReadPictures",),
    largest_request_bytes=LARGEST_REQUEST_BYTES,
)
