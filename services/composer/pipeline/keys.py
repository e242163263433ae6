"""Places a story's keys in latent space: as its storyboard says, as their kin, or as the translator chooses."""

from collections import deque
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from deepsing.v1 import sentiment_pb2, translator_pb2
from services.composer.backends.client import Backends
from services.composer.pipeline.capabilities import Capabilities
from services.composer.pipeline.task import StoryTask
from services.composer.story.latents import KeyLatent, KinMemory
from services.composer.story.plan import StoryboardKey
from services.composer.story.styles import StyleChooser
from services.composer.story.timeline import Key

__all__ = ["KeyTranslator"]

RECENT_KEYS = 64  # the translator gets the concepts of this many keys (its limit) and avoids them


class KeyTranslator:
    """Finds what each key of one story shows; keys must come in order.

    Args:
        locked: what is written for keys, by index.
    """

    def __init__(self, task: StoryTask, backends: Backends, locked: Mapping[int, StoryboardKey] | None = None) -> None:
        self._plan, self._capabilities, self._backends = task.plan, task.capabilities, backends
        self._locked = locked or {}
        self._barred = _find_barred(task.capabilities)
        self._kin = KinMemory()
        self._recent: deque[int] = deque(maxlen=RECENT_KEYS)
        self._styles = StyleChooser(task.capabilities.style_sentiments)

    async def translate(self, key: Key) -> KeyLatent:
        """The latent of the next key."""
        written = self._locked.get(key.index)
        style = self._weigh_styles(key, written)
        latent = self._kin.recall(key, style) or await self._ask(key, style)
        if written is not None:
            latent = self._replace_concepts(latent, written)
        self._kin.add(key, latent)
        self._recent.append(int(latent.classes.argmax()))
        return latent

    async def _ask(self, key: Key, style: NDArray[np.float32]) -> KeyLatent:
        arousal, valence = self._plan.mood.shift(key.arousal, key.valence)
        request = translator_pb2.TranslateRequest(
            translator=self._plan.translator,
            engine=self._plan.engine,
            seed=self._plan.seed,
            first_index=self._kin.find_draw(key),
            sentiments=[sentiment_pb2.Sentiment(arousal=arousal, valence=valence)],
            recent_concepts=self._recent,
            allowed_concepts=self._capabilities.allowed,
        )
        answer = await self._backends.call(self._backends.translator.Translate, request, "translator", self._fits)
        expected = answer.expected[0]
        return KeyLatent(
            classes=np.array(answer.class_weights, np.float32),
            noise=np.array(answer.noise, np.float32),
            style=style,
            expected=(expected.arousal, expected.valence),
        )

    def _fits(self, answer: translator_pb2.TranslateResponse) -> bool:
        """Whether the answer is from the model that the story began with, and of concepts that may be shown.

        During a roll-out, replicas differ: a translator of an older release does not know allowed_concepts.
        """
        shown = np.flatnonzero(answer.class_weights).tolist()
        return answer.model_digest == self._capabilities.digests["translator"] and self._barred.isdisjoint(shown)

    def _replace_concepts(self, latent: KeyLatent, written: StoryboardKey) -> KeyLatent:
        """The latent with the concepts that are written, and its own noise."""
        classes, expected = np.zeros_like(latent.classes), np.zeros(2)
        for name, share in written.concepts:
            place = self._capabilities.concepts.index(name)
            classes[place] = share
            expected += share * self._capabilities.concept_sentiments[place]
        if np.array_equal(classes, latent.classes):
            return latent
        return KeyLatent(classes, latent.noise, latent.style, (float(expected[0]), float(expected[1])))

    def _weigh_styles(self, key: Key, written: StoryboardKey | None) -> NDArray[np.float32]:
        """Weights of styles; none at all where no picture of the story has a style."""
        if not self._plan.is_styled:
            return np.zeros(0, np.float32)
        weights = np.zeros(len(self._capabilities.styles), np.float32)
        name = self._plan.style
        if name == "auto":
            place = self._styles.choose(*self._plan.mood.shift(key.arousal, key.valence), key.arrive_s)
            name = self._capabilities.styles[place]
        chosen = (written.style if written else "") or name
        if chosen != "none":
            weights[self._capabilities.styles.index(chosen)] = self._plan.style_strength
        return weights


def _find_barred(capabilities: Capabilities) -> frozenset[int]:
    """Numbers of the concepts that must not be shown."""
    return (
        frozenset(range(len(capabilities.concepts))).difference(capabilities.allowed)
        if capabilities.allowed
        else frozenset()
    )
