"""The translator service under BentoML: `bentoml serve services.translator.bento:Translator`."""

import bentoml

from deepsing.runtime.bento import BentoHost
from services.translator.rpc import SERVICE

__all__ = ["Translator"]


@bentoml.service(name="deepsing-translator", workers=1)
class Translator(BentoHost):
    """gRPC on DEEPSING_SERVER_PORT; health and metrics on BentoML's own port."""

    service = SERVICE
