"""Exchanges with the composer as files: played to the client by a fake server, and to the real servicer by a stub.

A file is JSON: `about` (one sentence), `asked` (what the client is asked for to have this exchange: `song` in base64,
`options` of the story, `window`; null where our client never would), `steps` (requests and responses in order, in
proto-JSON) and `status` (code, and for a refusal its reason and message).
"""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict

from deepsing.rpc.errors import STATUS_DETAILS, InvalidArgument, ServiceError, parse_error_info
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1.composer_pb2_grpc import ComposerServiceServicer
from deepsing.v1.error_reason_pb2 import ErrorReason

FOLDER = Path(__file__).parent / "exchanges"


@dataclass(frozen=True)
class Exchange:
    """One file."""

    name: str
    asked: dict[str, Any] | None
    steps: tuple[pb.ComposeRequest | pb.ComposeResponse, ...]
    code: grpc.StatusCode
    reason: str
    message: str

    @property
    def song(self) -> bytes:
        return base64.b64decode((self.asked or {}).get("song", ""))

    @property
    def responses(self) -> list[pb.ComposeResponse]:
        return [step for step in self.steps if isinstance(step, pb.ComposeResponse)]

    @property
    def refusal(self) -> ServiceError | None:
        if self.code is grpc.StatusCode.OK:
            return None
        return InvalidArgument(self.message, reason=ErrorReason.Value(f"ERROR_REASON_{self.reason}"))


def exchanges() -> list[Exchange]:
    return [_load_exchange(path) for path in sorted(FOLDER.glob("*.json"))]


def rewrite(exchange: Exchange, came: list[pb.ComposeResponse]) -> None:
    """Replaces the composer's messages in the file by its present ones; heartbeats stay."""
    path = FOLDER / f"{exchange.name}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    responses = iter(response for response in came if not response.HasField("heartbeat"))
    for step in content["steps"]:
        if "response" in step and "heartbeat" not in step["response"]:
            step["response"] = MessageToDict(next(responses))
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _load_exchange(path: Path) -> Exchange:
    content = json.loads(path.read_text(encoding="utf-8"))
    steps = tuple(
        ParseDict(step["request"], pb.ComposeRequest())
        if "request" in step
        else ParseDict(step["response"], pb.ComposeResponse())
        for step in content["steps"]
    )
    status = content["status"]
    code = grpc.StatusCode[status["code"]]
    return Exchange(path.stem, content["asked"], steps, code, status.get("reason", ""), status.get("message", ""))


class Replayer(ComposerServiceServicer):
    """Plays the server's part; the client's requests must be those of the file, one by one."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.surprises: list[str] = []

    async def Compose(self, requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[pb.ComposeResponse]:
        for step in self.exchange.steps:
            if isinstance(step, pb.ComposeResponse):
                yield step
            elif self.exchange.asked is not None and (came := await anext(requests)) != step:
                self.surprises.append(f"expected {step}, but {came} came")
        if refusal := self.exchange.refusal:
            context.set_trailing_metadata(((STATUS_DETAILS, refusal.to_status().SerializeToString()),))
            await context.abort(refusal.code, str(refusal))


async def play_to(stub: Any, exchange: Exchange) -> tuple[list[pb.ComposeResponse], grpc.StatusCode, str]:
    """Plays the client's part; returns what came back, the code and the reason."""

    async def requests() -> AsyncIterator[pb.ComposeRequest]:
        for step in exchange.steps:
            if isinstance(step, pb.ComposeRequest):
                yield step

    came: list[pb.ComposeResponse] = []
    try:
        async for response in stub.Compose(requests(), timeout=30):
            came.append(response)
    except grpc.aio.AioRpcError as error:
        return came, error.code(), parse_error_info(error)[0]
    return came, grpc.StatusCode.OK, ""
