"""The generator under BentoML: `bentoml serve services.generator.bento:Generator`."""

import bentoml

from deepsing.runtime.bento import bento_hooks
from services.generator.rpc import SERVICE

__all__ = ["Generator"]

hooks = bento_hooks(SERVICE)


@bentoml.service(name="deepsing-generator", workers=1)
class Generator:
    """gRPC on DEEPSING_SERVER_PORT; health and metrics on BentoML's own port."""

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def start(self) -> None:
        """Starts the gRPC server."""
        await hooks.start()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def stop(self) -> None:
        """Waits for calls under way."""
        await hooks.stop()

    async def __is_ready__(self) -> bool:
        """Whether gRPC calls are taken now."""
        return hooks.ready
