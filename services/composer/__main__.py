"""`python -m services.composer`: serves the composer until it is told to stop."""

from deepsing.runtime.server import run
from services.composer.rpc import SERVICE

raise SystemExit(run(SERVICE))
