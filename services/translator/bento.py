"""The translator under BentoML: `bentoml serve services.translator.bento:Translator`."""

import bentoml

from deepsing.runtime.bento import bento_hooks
from services.translator.rpc import SERVICE

hooks = bento_hooks(SERVICE)


@bentoml.service(name="deepsing-translator", workers=1)
class Translator:
    """gRPC on DEEPSING_SERVER_PORT; health and metrics on BentoML's own port."""

    @bentoml.on_startup
    async def start(self) -> None:
        """Starts the gRPC server."""
        await hooks.start()

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Waits for calls under way."""
        await hooks.stop()

    async def __is_ready__(self) -> bool:
        """Whether gRPC calls are taken now."""
        return hooks.ready
