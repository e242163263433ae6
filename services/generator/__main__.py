"""`python -m services.generator` serves the generator until SIGTERM."""

from deepsing.runtime.server import run
from services.generator.rpc import SERVICE

if __name__ == "__main__":
    raise SystemExit(run(SERVICE))
