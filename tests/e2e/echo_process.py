"""The echo service as a process of its own: argv says how its opening goes."""

import asyncio
import sys

from deepsing.runtime.server import run
from tests.unit.runtime.echo import Echo, service


async def open_late() -> None:
    match sys.argv[1]:
        case "fails":
            raise FileNotFoundError("the model is missing; fetch it")
        case "lasts":
            await asyncio.Event().wait()


if __name__ == "__main__":
    raise SystemExit(run(service(Echo(), open_late)))
