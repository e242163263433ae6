"""The echo service inside BentoML, as the services' own bento.py modules do it."""

import bentoml

from deepsing.runtime.bento import BentoHost
from tests.unit.runtime.echo import Echo, service


@bentoml.service(name="echo", workers=1)
class EchoBento(BentoHost):
    service = service(Echo())
