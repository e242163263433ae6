"""The audio_sentiment service under BentoML: `bentoml serve services.audio_sentiment.bento:AudioSentiment`."""

import bentoml

from deepsing.runtime.bento import BentoHost
from services.audio_sentiment.rpc import SERVICE

__all__ = ["AudioSentiment"]


@bentoml.service(name="deepsing-audio-sentiment", workers=1)
class AudioSentiment(BentoHost):
    """gRPC on DEEPSING_SERVER_PORT; health and metrics on BentoML's own port."""

    service = SERVICE
