"""The camera's path: it drifts and zooms slowly, faster in excited music, and answers onsets and beats.

Pure: a pose depends on the points of the song and on the time alone, so that a story that is resumed, or another
composer, finds the same one. The path is continuous and knows nothing of keys, so it cannot jump where concepts change;
only a kick rises from one frame to the next.
"""

from collections import deque
from dataclasses import dataclass
from math import floor, sin

from services.composer.film.pulses import STEP_S, Pulses, WindowPulses
from services.composer.story.rhythm import STEPS, WINDOW_S
from services.composer.story.timeline import REACTION_S, Point

__all__ = ["FASTEST", "Camera", "Pose"]

CALM, EXCITED = -0.6, 0.6  # arousal of the slowest and of the fastest drift
DRIFT = (0.15, 0.40)  # radians of the path a second, calm and excited: a period of 42 s and of 16 s at motion 1
KICK_GAIN = (0.7, 1.0)  # factor on onsets, calm and excited
SETTLE = 0.3  # share of the way that drift and gain move to those of the next window, so that no speed jumps
ZOOM, ZOOM_SPAN = 0.13, 0.05  # mean zoom beyond 1, and how far it swings, at motion 1
TURN = 0.009  # radians that the camera sways to each side at motion 1: half a degree
# Bound on the mean speed of a picture's places over any second, shares of the width, at motion 1 and react 1; at the
# defaults it is half of that. What fills the view and moves on and on makes some people sick, the sooner the faster it
# moves and the more regularly it swings. So drift alone stays below 0.06, and kicks, which stop at once, are rationed.
FASTEST = 0.15
KICK_ZOOM, SWELL_ZOOM = 0.09, 0.012  # zoom of a full kick and of a full swell at react 1


@dataclass(frozen=True)
class Pose:
    """Where the camera stands.

    Attributes:
        zoom: >= 1; 1 shows the whole picture.
        x, y: place of the middle of what is shown, as a share of the way that it may move each way, [-1, 1].
        turn: angle, radians; smaller in long pictures, see warp_picture.
    """

    zoom: float = 1.0
    x: float = 0.0
    y: float = 0.0
    turn: float = 0.0

    @property
    def still(self) -> bool:
        """Whether it shows the picture as it is."""
        return self.zoom == 1.0 and self.turn == 0.0


@dataclass(frozen=True)
class _Window:
    """Path of one window: its place on the drift at the start, radians, its speed, radians a second, and its reach.

    Attributes:
        reach, onward: root of the motion at its start and at its end.
    """

    drift: float
    speed: float
    reach: float
    onward: float
    pulses: WindowPulses


class Camera:
    """Computes poses from points. Only a few seconds of points are kept.

    Args:
        motion: how far and fast it drifts, [0, 1]; 0 stands still.
        react: how strongly it answers the music, [0, 1].
        look_ahead: as in Timeline.
        largest: the largest motion that it will have; None is `motion`.
    """

    def __init__(self, motion: float, react: float, *, look_ahead: bool, largest: float | None = None) -> None:
        self._reach, self._react = motion**0.5, react  # reach and speed have a share of a root each in the motion
        self._roams = bool(motion or largest)
        self._shown_after_s = 0.0 if look_ahead else REACTION_S
        self._pulses = Pulses(look_ahead=look_ahead)
        self._windows: deque[_Window] = deque()
        self._first = 0  # number of _windows[0] in the song
        self._excitement: float | None = None

    @property
    def still(self) -> bool:
        """Whether every pose shows the picture as it is."""
        return not self._roams and not self._react

    def add(self, point: Point, motion: float | None = None) -> None:
        """Adds the next point; the motion moves gradually to `motion`, or stays as it is."""
        wanted = min(1.0, max(0.0, (point.arousal - CALM) / (EXCITED - CALM)))
        before = wanted if self._excitement is None else self._excitement
        self._excitement = before + SETTLE * (wanted - before)
        gain = KICK_GAIN[0] + (KICK_GAIN[1] - KICK_GAIN[0]) * self._excitement
        reach = self._reach
        self._reach += 0.0 if motion is None else SETTLE * (motion**0.5 - reach)
        speed = reach * DRIFT[0] * (DRIFT[1] / DRIFT[0]) ** self._excitement
        shown_s = (self._first + len(self._windows)) * WINDOW_S + self._shown_after_s
        drift = self._windows[-1].drift + self._windows[-1].speed * WINDOW_S if self._windows else 0.0
        self._windows.append(_Window(drift, speed, reach, self._reach, self._pulses.add(point.rhythm, shown_s, gain)))

    def pose_at(self, time_s: float) -> Pose:
        """The pose at a time of the story that is not before the last forget(), and whose point was added."""
        if self.still:
            return Pose()
        window, offset_s = self._find_window(time_s)
        step = min(STEPS - 1, max(0, int(offset_s / STEP_S + 1e-6)))
        kick, swell = window.pulses.kicks[step], window.pulses.swells[step]
        drift, share = window.drift + window.speed * offset_s, min(1.0, offset_s / WINDOW_S)
        reach, sway = window.reach + (window.onward - window.reach) * share, float(self._roams)
        zoom = 1 + reach * (ZOOM + ZOOM_SPAN * sin(0.83 * drift + 2.0))
        return Pose(
            zoom=zoom * (1 + self._react * (KICK_ZOOM * kick + SWELL_ZOOM * swell)),
            x=sway * (0.8 * sin(drift) + 0.2 * sin(1.9 * drift + 2.0)),  # periods that never meet
            y=sway * (0.8 * sin(0.77 * drift + 1.0) + 0.2 * sin(2.3 * drift)),
            turn=reach * TURN * sin(0.61 * drift + 0.5),
        )

    def forget(self, time_s: float) -> None:
        """Deletes what no pose at or after a time needs."""
        while len(self._windows) > 1 and (self._first + 1) * WINDOW_S + self._shown_after_s <= time_s:
            self._windows.popleft()
            self._first += 1

    def _find_window(self, time_s: float) -> tuple[_Window, float]:
        """The window that is shown at a time, and how long it has been shown; before the first one, the first."""
        place = floor((time_s - self._shown_after_s) / WINDOW_S + 1e-9)
        slot = min(max(place - self._first, 0), len(self._windows) - 1)
        shown_s = (self._first + slot) * WINDOW_S + self._shown_after_s
        return self._windows[slot], max(0.0, time_s - shown_s)
