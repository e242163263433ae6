"""`python -m services.composer`: serves the composer until it is told to stop."""

from deepsing.runtime.server import run
from services.composer.rpc import SERVICE

if __name__ == "__main__":
    raise SystemExit(run(SERVICE))
