"""The echo service inside BentoML, as the services' own bento.py modules do it."""

import bentoml

from deepsing.runtime.bento import bento_hooks
from tests.unit.runtime.echo import Echo, service

SERVICE = service(Echo())


@bentoml.service(name="echo", workers=1)
class EchoBento:
    def __init__(self) -> None:
        self.grpc = bento_hooks(SERVICE)

    @bentoml.on_startup
    async def start(self) -> None:
        await self.grpc.start()

    @bentoml.on_shutdown
    async def stop(self) -> None:
        await self.grpc.stop()

    async def __is_ready__(self) -> bool:
        return self.grpc.ready
