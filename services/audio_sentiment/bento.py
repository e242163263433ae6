"""audio_sentiment under BentoML: `bentoml serve services.audio_sentiment.bento:AudioSentiment`."""

import bentoml

from deepsing.runtime.bento import bento_hooks
from services.audio_sentiment.rpc import SERVICE

__all__ = ["AudioSentiment"]


@bentoml.service(name="deepsing-audio-sentiment", workers=1)
class AudioSentiment:
    """gRPC on DEEPSING_SERVER_PORT; health and metrics on BentoML's own port."""

    def __init__(self) -> None:
        self.grpc = bento_hooks(SERVICE)

    @bentoml.on_startup
    async def start(self) -> None:
        """Starts the gRPC server."""
        await self.grpc.start()

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Waits for calls under way."""
        await self.grpc.stop()

    async def __is_ready__(self) -> bool:
        """Whether gRPC calls are taken now."""
        return self.grpc.ready
