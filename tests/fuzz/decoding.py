"""Decodes a mutant as the services do, and holds what comes of it to what the product promises."""

__all__ = ["Outcome", "decode", "limit_memory", "choose_way"]

import io
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepsing.audio import AudioError, GrowingFile, decode_blocks
from deepsing.audio.decoding import Decoding
from services.composer.session.messages import build_song_facts, convert_audio_error
from tests.fuzz.mutations import Mutant

HEADROOM_BYTES = 1 << 30  # of address space beyond what a worker starts with
PIECE_BYTES = 65_536


@dataclass(frozen=True)
class Outcome:
    """What came of a mutant.

    Attributes:
        what: "decoded", "decoded with warnings" or "refused: KIND".
        fault: what broke a promise, "" if nothing did.
        cpu_s: processor time that it took.
        grown_mib: memory at its most above what was held before.
    """

    number: int
    recipe: str
    what: str
    fault: str
    cpu_s: float
    grown_mib: float

    @classmethod
    def from_crash(cls, mutant: Mutant, fault: str) -> "Outcome":
        """Of a mutant that took its worker with it."""
        return cls(mutant.number, mutant.recipe, "lost", fault, 0.0, 0.0)


def choose_way(number: int) -> str:
    """How the mutant of that number reaches the decoder: as Probe, as Analyze, or as it is played."""
    return ("file", "growing", "live")[number % 3]


def decode(mutant: Mutant) -> Outcome:
    """Decodes it in this process."""
    resident = _resident_mib()
    Path("/proc/self/clear_refs").write_text("5")  # the highest memory is counted from here on
    began = time.process_time()
    what = fault = ""
    try:
        with _open_mutant(mutant) as decoding:
            fault = _find_fault(decoding)
        what = "decoded with warnings" if decoding.facts.warnings else "decoded"
    except AudioError as error:
        what = f"refused: {error.kind}"
        refusal = convert_audio_error(error).to_status()
        if not (error.message and len(refusal.message) == len(error.message)):
            fault = f"the refusal has no whole message: {refusal.message}"
    except Exception as error:
        what, fault = "failed", f"{type(error).__name__}: {error}"
    peak = _status_mib("VmHWM:")
    return Outcome(mutant.number, mutant.recipe, what, fault, time.process_time() - began, max(0.0, peak - resident))


def _open_mutant(mutant: Mutant) -> Decoding:
    way = choose_way(mutant.number)
    if way == "file":
        return decode_blocks(io.BytesIO(mutant.data))
    file = GrowingFile(live=way == "live")
    for first in range(0, len(mutant.data), PIECE_BYTES):
        file.append(mutant.data[first : first + PIECE_BYTES])
    file.finish()
    return decode_blocks(file, sample_rate_hz=16_000, mono=way == "live")


def _find_fault(decoding: Decoding) -> str:
    """Iterates to the end; names the promise that a block or the facts break."""
    count = 0
    for block in decoding:
        if block.dtype != np.float32 or not np.isfinite(block).all():
            return f"a block of {block.dtype} is not finite at sample {count}"
        if block.shape[-1] > decoding.sample_rate_hz:
            return f"a block has {block.shape[-1]} samples at {decoding.sample_rate_hz} Hz, more than a second"
        count += block.shape[-1]
    facts = decoding.facts
    expected = round(facts.sample_count * decoding.sample_rate_hz / facts.sample_rate_hz)
    if abs(count - expected) > 1:
        return f"{count} samples came, the facts say {expected}"
    if facts.duration_s < 0.5:
        return f"{facts.duration_s} s of sound were accepted"
    build_song_facts(facts)  # what was found fits into the contract's message
    return ""


def limit_memory() -> None:
    """Makes this process fail rather than take the machine's memory."""
    size = int(_status_mib("VmSize:") * 2**20) + HEADROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _resident_mib() -> float:
    return _status_mib("VmRSS:")


def _status_mib(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
