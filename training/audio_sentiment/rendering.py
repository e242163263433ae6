"""Renders MIDI files to sound with fluidsynth, once per file and soundfont."""

import hashlib
import shutil
import subprocess
from pathlib import Path

__all__ = ["SOUNDFONT", "RenderingError", "render_if_midi"]

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")  # Debian package fluid-soundfont-gm
MIDI_SUFFIXES = {".mid", ".midi"}
GAIN = 0.5  # of fluidsynth; 1 clips dense pieces
RATE_HZ = 44_100


class RenderingError(RuntimeError):
    """A MIDI file cannot be rendered here; the message says what to install."""


def render_if_midi(path: Path, folder: Path, soundfont: Path = SOUNDFONT) -> Path:
    """Returns a file that a decoder can read: the song itself, or a MIDI file's rendering.

    Args:
        path: any song.
        folder: where renderings are kept, named after the digests of piece and soundfont.
        soundfont: instruments, an .sf2 file.

    Raises:
        RenderingError: fluidsynth or the soundfont is missing, or the piece cannot be rendered.
    """
    if path.suffix.lower() not in MIDI_SUFFIXES:
        return path
    program = shutil.which("fluidsynth")
    if program is None or not soundfont.is_file():
        missing = "fluidsynth" if program is None else f"the soundfont {soundfont}"
        raise RenderingError(f"{path.name} is MIDI but {missing} is missing; apt install fluidsynth fluid-soundfont-gm")
    digest = hashlib.sha256(path.read_bytes() + soundfont.name.encode()).hexdigest()[:16]
    rendering = folder / f"{digest}.wav"
    if not rendering.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = rendering.with_suffix(".part.wav")
        options = ["-ni", "-q", "-g", str(GAIN), "-r", str(RATE_HZ), "-F", str(unfinished), str(soundfont), str(path)]
        done = subprocess.run([program, *options], capture_output=True, text=True, check=False)
        if done.returncode or not unfinished.is_file():
            reason = done.stderr.strip().splitlines()[-1:] or ["no sound came out"]
            raise RenderingError(f"{path.name} cannot be rendered ({reason[0]}); is it a MIDI file?")
        unfinished.replace(rendering)
    return rendering
