import os
import threading
from contextlib import suppress
from pathlib import Path

from services.composer.output.curve import Curve
from services.composer.story.frame import FrameInfo


def test_stories_that_draw_in_threads_of_their_own_keep_no_fonts_open(tmp_path: Path) -> None:
    over = threading.Event()

    def draw_curve(number: int) -> None:
        curve = Curve()
        curve.add(
            FrameInfo(seq=0, time_s=0.0, target=(0.1, 0.2), expected=(0.1, 0.2), concepts=(("fog", 1.0),), styles=())
        )
        curve.write(tmp_path / f"{number}.png", [], "title")
        drawn.release()
        over.wait()  # a thread that ended would give its number, and its fonts, to the next

    drawn = threading.Semaphore(0)
    threads = [threading.Thread(target=draw_curve, args=(number,)) for number in range(4)]
    open_fonts = []
    for thread in threads:
        thread.start()
        drawn.acquire()
        open_fonts.append(_open_fonts())
    over.set()
    for thread in threads:
        thread.join()
    assert open_fonts[-1] == open_fonts[0]
    assert len(list(tmp_path.glob("*.png"))) == 4


def _open_fonts() -> int:
    """Font files that this process has open."""
    count = 0
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the folder's own, and what was closed since
            count += os.readlink(f"/proc/self/fd/{number}").endswith(".ttf")
    return count
