"""The generator service under BentoML: `bentoml serve services.generator.bento:Generator`."""

import bentoml

from deepsing.runtime.bento import BentoHost
from services.generator.rpc import SERVICE

__all__ = ["Generator"]


@bentoml.service(name="deepsing-generator", workers=1)
class Generator(BentoHost):
    """gRPC on DEEPSING_SERVER_PORT; health and metrics on BentoML's own port."""

    service = SERVICE
