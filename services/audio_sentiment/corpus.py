"""The training songs with their window features, computed once by the serving code and kept in a cache folder."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deepsing.audio import decode_blocks
from services.audio_sentiment.embedding import Network
from services.audio_sentiment.features import SAMPLE_RATE_HZ
from services.audio_sentiment.labels import RatedSong, fold_of, read_labels
from services.audio_sentiment.listening import Listener, Window
from services.audio_sentiment.rendering import audible

__all__ = ["HeardSong", "hear", "read_corpus"]

F32 = NDArray[np.float32]
GAIN_RANGE_DB = (-15.0, 8.0)  # of the gain augmentation; the sets' levels differ by 11 dB


@dataclass(frozen=True)
class HeardSong:
    """A rated song and its windows.

    Attributes:
        rating: what people felt.
        collection: name of the folder it comes from.
        fold: [0, 10), by artist, game or song.
        windows: what was heard, every half second.
    """

    rating: RatedSong
    collection: str
    fold: int
    windows: list[Window]


def read_corpus(data: Path) -> list[tuple[str, RatedSong]]:
    """Lists the songs of all collections, the subfolders of `data` that hold a labels.csv."""
    folders = sorted(path.parent for path in data.glob("*/labels.csv"))
    return [(folder.name, song) for folder in folders for song in read_labels(folder)]


def hear(
    songs: Iterable[tuple[str, RatedSong]], network: Network, digest: str, cache: Path, *, take: int = 0
) -> list[HeardSong]:
    """Computes, or finds in the cache, the windows of all songs; may be interrupted and started again.

    Args:
        songs: collection and song.
        network: the music network's session.
        digest: of the network, hex; windows of another network are not mixed in.
        cache: a folder for windows and renderings.
        take: 0 for the songs as they are, 1, 2, … for versions at another level each.
    """
    heard = []
    for collection, song in tqdm(list(songs), desc=f"hearing, take {take}", mininterval=5):
        path = cache / digest[:12] / str(take) / f"{collection}_{song.path.name}.npz"
        if not path.is_file():
            windows = _heard(audible(song.path, cache / "renderings"), network, _gain(song.path.name, take))
            _save(path, windows)
        heard.append(HeardSong(song, collection, fold_of(song.group), _load(path)))
    return heard


def _gain(name: str, take: int) -> float:
    """Amplitude factor of a song's take; the same in every run."""
    if not take:
        return 1.0
    seed = int(hashlib.sha256(f"{name} {take}".encode()).hexdigest()[:8], 16)
    return float(10 ** (np.random.default_rng(seed).uniform(*GAIN_RANGE_DB) / 20))


def _heard(path: Path, network: Network, gain: float) -> list[Window]:
    listener = Listener(network)
    windows: list[Window] = []
    with decode_blocks(path, mono=True, sample_rate_hz=SAMPLE_RATE_HZ) as decoding:
        for block in decoding:
            windows.extend(listener.push(block * np.float32(gain)))
        facts = decoding.facts
    windows.extend(listener.finish(-(-2 * facts.sample_count // facts.sample_rate_hz)))
    return windows


def _save(path: Path, windows: list[Window]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.npz")
    np.savez(
        unfinished,
        embedding=np.array([window.embedding for window in windows], np.float16),
        timbre=np.array([window.timbre for window in windows], np.float16),
        loudness=np.array([window.loudness for window in windows], np.float32),
        onset_strength=np.array([window.onset_strength for window in windows], np.float32),
    )
    unfinished.replace(path)


def _load(path: Path) -> list[Window]:
    with np.load(path, allow_pickle=False) as arrays:
        embedding, timbre = arrays["embedding"].astype(np.float32), arrays["timbre"].astype(np.float32)
        loudness, onset = arrays["loudness"].tolist(), arrays["onset_strength"].tolist()
    return [Window(*parts) for parts in zip(embedding, timbre, loudness, onset, strict=True)]
