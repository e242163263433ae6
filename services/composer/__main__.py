"""`python -m services.composer`: serves the composer until a signal stops it."""

from deepsing.runtime.server import run
from services.composer.rpc import SERVICE

if __name__ == "__main__":
    raise SystemExit(run(SERVICE))
