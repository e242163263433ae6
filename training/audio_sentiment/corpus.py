"""The training songs with their window features, computed once by the serving code and kept in a cache folder."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import services.audio_sentiment
from deepsing.audio import decode_blocks
from services.audio_sentiment.embedding import Networks
from services.audio_sentiment.feature_extractor import FeatureExtractor, Window
from services.audio_sentiment.features import SAMPLE_RATE_HZ
from training.audio_sentiment.labels import RatedSong, assign_fold, read_labels
from training.audio_sentiment.rendering import SOUNDFONT, render_if_midi

__all__ = ["WindowedSong", "features_digest", "load_windows", "read_corpus"]

F32 = NDArray[np.float32]
KINDS = ("embedding", "patch", "harmony", "timbre", "block", "pitches")  # of a window's features, in their order
SOUNDS = ("loudness", "onset_strength")
WINDOW_MODULES = ("embedding", "feature_extractor", "features", "framing", "harmony", "running_mean")


@dataclass(frozen=True)
class WindowedSong:
    """A rated song and its windows.

    Attributes:
        rating: what people felt.
        collection: name of the folder it comes from.
        fold: [0, 10), by artist, game or song.
        windows: their features, every half second.
    """

    rating: RatedSong
    collection: str
    fold: int
    windows: list[Window]


def read_corpus(data: Path) -> list[tuple[str, RatedSong]]:
    """Lists the songs of all collections, the subfolders of `data` that hold a labels.csv."""
    folders = sorted(path.parent for path in data.glob("*/labels.csv"))
    return [(folder.name, song) for folder in folders for song in read_labels(folder)]


def features_digest(*networks: Path) -> str:
    """SHA-256, hex, of all that makes windows: the networks' files and the modules that run them."""
    files = [*networks, *(Path(services.audio_sentiment.__file__).with_name(f"{name}.py") for name in WINDOW_MODULES)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def load_windows(
    songs: Iterable[tuple[str, RatedSong]],
    networks: Networks,
    digest: str,
    cache: Path,
    *,
    soundfont: Path = SOUNDFONT,
    middle_s: float = 0.0,
) -> list[WindowedSong]:
    """Computes, or finds in the cache, the windows of all songs; may be interrupted and started again.

    Args:
        songs: collection and song.
        networks: the music networks' sessions.
        digest: `features_digest`; windows that were made otherwise are not mixed in.
        cache: a folder for windows and renderings.
        soundfont: instruments of MIDI files.
        middle_s: length of the part in the middle that is analysed, alone, seconds; 0 is the whole song.
    """
    from tqdm import tqdm  # of the extra "train"

    songs_read, version = [], f"{soundfont.stem}_{middle_s:g}s" if middle_s else soundfont.stem
    for collection, song in tqdm(list(songs), desc=f"reading, {version}", mininterval=5):
        path = cache / digest[:12] / version / f"{collection}_{song.path.name}.npz"
        if not path.is_file():
            _save(
                path, _extract_windows(render_if_midi(song.path, cache / "renderings", soundfont), networks, middle_s)
            )
        songs_read.append(WindowedSong(song, collection, assign_fold(song.group), _load(path)))
    return songs_read


def _extract_windows(path: Path, networks: Networks, middle_s: float) -> list[Window]:
    extractor = FeatureExtractor(networks)
    windows: list[Window] = []
    part: dict[str, Any] = {}
    if middle_s:
        with decode_blocks(path, mono=True, sample_rate_hz=SAMPLE_RATE_HZ) as decoding:
            for _ in decoding:
                pass
            part = {"start_s": max(0.0, (decoding.facts.duration_s - middle_s) / 2), "duration_s": middle_s}
    with decode_blocks(path, mono=True, sample_rate_hz=SAMPLE_RATE_HZ, **part) as decoding:
        for block in decoding:
            windows.extend(extractor.push(block))
        facts = decoding.facts
    windows.extend(extractor.finish(-(-2 * facts.sample_count // facts.sample_rate_hz)))
    return windows


def _save(path: Path, windows: list[Window]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.npz")
    arrays = {name: np.array([getattr(window, name) for window in windows], np.float16) for name in KINDS}
    sounds = {name: np.array([getattr(window, name) for window in windows], np.float32) for name in SOUNDS}
    np.savez(unfinished, allow_pickle=False, **arrays, **sounds)
    unfinished.replace(path)


def _load(path: Path) -> list[Window]:
    with np.load(path, allow_pickle=False) as arrays:
        kinds = [arrays[name].astype(np.float32) for name in KINDS]
        sounds = [arrays[name].tolist() for name in SOUNDS]
    return [Window(*parts) for parts in zip(*kinds, *sounds, strict=True)]
