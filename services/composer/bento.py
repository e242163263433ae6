"""The composer service under BentoML: `bentoml serve services.composer.bento:Composer`."""

import bentoml

from deepsing.runtime.bento import BentoHost
from services.composer.rpc import SERVICE

__all__ = ["Composer"]


@bentoml.service(name="deepsing-composer", workers=1)
class Composer(BentoHost):
    """gRPC on DEEPSING_SERVER_PORT; health and metrics on BentoML's own port."""

    service = SERVICE
