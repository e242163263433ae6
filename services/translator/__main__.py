"""`python -m services.translator` serves the translator until SIGTERM."""

from deepsing.runtime.server import run
from services.translator.rpc import SERVICE

if __name__ == "__main__":
    raise SystemExit(run(SERVICE))
