"""`python -m services.audio_sentiment` serves audio_sentiment until SIGTERM."""

from deepsing.runtime.server import run
from services.audio_sentiment.rpc import SERVICE

if __name__ == "__main__":
    raise SystemExit(run(SERVICE))
