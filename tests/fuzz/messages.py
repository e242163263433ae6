"""Builds requests that the contract does not allow, from its descriptors alone, so that no RPC is left out."""

__all__ = ["Method", "methods", "make_requests"]

import math
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from random import Random
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import deepsing.v1
from tests.fuzz.examples import EXAMPLES, picture, sound

Kind = FieldDescriptor
FLOATS = (0.0, 1.0, -1.0, 0.5, 1.001, -1e-9, 2.0, 11.0, 3e38, -3e38, 1e-45, math.nan, math.inf, -math.inf)
WORDS = (
    "",
    "canvas",
    "none",
    "auto",
    "dictionary",
    "0" * 64,
    "../../etc/passwd",
    "a\0b",
    "%s%n{}",
    "🎵" * 30,
    "x" * 5000,
)
SIGNED = {Kind.CPPTYPE_INT32: 31, Kind.CPPTYPE_INT64: 63}
UNSIGNED = {Kind.CPPTYPE_UINT32: 32, Kind.CPPTYPE_UINT64: 64}
COUNTS = (0, 1, 1, 2, 3, 16, 17, 65)
LARGE_BYTES = 5 * 2**20  # over what a server takes in one message
DEPTH = 4


@dataclass(frozen=True)
class Method:
    """One RPC of the contract."""

    service: str  # full name, as "deepsing.v1.GeneratorService"
    name: str
    request: Descriptor
    streams_up: bool
    streams_down: bool

    @property
    def path(self) -> str:
        """As HTTP/2 carries it."""
        return f"/{self.service}/{self.name}"


def methods() -> list[Method]:
    """All RPCs of all services of the contract."""
    names = [one.name for one in pkgutil.iter_modules(deepsing.v1.__path__) if one.name.endswith("_pb2")]
    files = [import_module(f"deepsing.v1.{name}").DESCRIPTOR for name in sorted(names)]
    return [
        Method(service.full_name, one.name, one.input_type, one.client_streaming, one.server_streaming)
        for file in files
        for service in file.services_by_name.values()
        for one in service.methods
    ]


def make_requests(method: Method, seed: int, number: int) -> list[bytes]:
    """The serialised requests of that number: one where the method takes one, else any number in any order."""
    choose = Random(f"{seed}:{method.path}:{number}")
    example = EXAMPLES.get(f"{method.service}.{method.name}")
    if example is not None and choose.random() < 0.7:
        messages = example(choose)
        for _ in range(choose.choice((0, 1, 1, 1, 2, 4))):
            _spoil(choose.choice(messages), choose)
    else:
        count = choose.choice((0, 1, 1, 2, 3, 6)) if method.streams_up else 1
        messages = [_random_message(method.request, choose) for _ in range(count)]
    if method.streams_up and choose.random() < 0.4:
        messages = _disorder(messages, choose)
    sent = [message.SerializeToString() for message in messages]
    if sent and choose.random() < 0.2:
        at = choose.randrange(len(sent))
        sent[at] = _garble(sent[at], choose)
    return sent


def _disorder(messages: list[Message], choose: Random) -> list[Message]:
    wrong = list(messages)
    for _ in range(choose.choice((1, 2))):
        if wrong:
            at = choose.randrange(len(wrong))
            what = choose.randrange(3)
            if what == 0:
                wrong.insert(choose.randrange(len(wrong) + 1), wrong[at])
            elif what == 1:
                wrong.pop(at)
            else:
                choose.shuffle(wrong)
    return wrong


def _garble(message: bytes, choose: Random) -> bytes:
    what = choose.randrange(8)
    if what < 3:
        return choose.randbytes(choose.choice((1, 5, 40, 3000)))
    if what < 5:
        return message[: choose.randrange(len(message) + 1)]
    if what == 5 and choose.random() < 0.05:
        return message + bytes(LARGE_BYTES)
    changed = bytearray(message)
    for _ in range(choose.choice((1, 3))):
        if changed:
            changed[choose.randrange(len(changed))] = choose.randrange(256)
    return bytes(changed)


def _random_message(form: Descriptor, choose: Random, depth: int = 0) -> Message:
    message: Message = GetMessageClass(form)()
    share = choose.choice((0.1, 0.3, 0.8))
    for field in form.fields:
        if choose.random() < share and depth < DEPTH:
            _fill(message, field, choose, depth)
    return message


def _spoil(message: Message, choose: Random, depth: int = 0) -> None:
    """Gives one field, at any depth, another value, or none."""
    fields = list(message.DESCRIPTOR.fields)
    inside = [one for one in fields if one.message_type and not one.is_repeated and message.HasField(one.name)]
    if inside and choose.random() < 0.7:
        _spoil(getattr(message, choose.choice(inside).name), choose, depth + 1)
    elif fields:
        field = choose.choice(fields)
        message.ClearField(field.name)
        if choose.random() < 0.85:
            _fill(message, field, choose, depth)


def _fill(message: Message, field: FieldDescriptor, choose: Random, depth: int) -> None:
    if field.is_repeated:
        count = choose.choice(COUNTS) if field.message_type else choose.choice((*COUNTS, 136, 1025))
        for _ in range(count):
            if field.message_type:
                getattr(message, field.name).add().CopyFrom(_random_message(field.message_type, choose, depth + 1))
            else:
                getattr(message, field.name).append(_value(field, choose))
    elif field.message_type:
        getattr(message, field.name).CopyFrom(_random_message(field.message_type, choose, depth + 1))
    else:
        setattr(message, field.name, _value(field, choose))


def _value(field: FieldDescriptor, choose: Random) -> Any:
    kind = field.cpp_type
    if kind in SIGNED or kind in UNSIGNED:
        return choose.choice(_integers(kind))
    makers: dict[int, Callable[[], Any]] = {
        Kind.CPPTYPE_FLOAT: lambda: choose.choice(FLOATS),
        Kind.CPPTYPE_DOUBLE: lambda: choose.choice(FLOATS),
        Kind.CPPTYPE_BOOL: lambda: choose.random() < 0.5,
        Kind.CPPTYPE_ENUM: lambda: choose.choice((*range(6), 99, -1, 2**31 - 1)),
        Kind.CPPTYPE_STRING: lambda: _bytes(choose) if field.type == Kind.TYPE_BYTES else choose.choice(WORDS),
    }
    return makers[kind]()


def _bytes(choose: Random) -> bytes:
    return choose.choice((b"", sound(), sound(), picture(), choose.randbytes(50), bytes(65_536), bytes(65_537)))


@cache
def _integers(kind: int) -> tuple[int, ...]:
    small = (0, 1, 2, 3, 8, 24, 64, 101, 255, 500_000, 1_000_001)
    if kind in UNSIGNED:
        return (*small, 2 ** UNSIGNED[kind] - 1, 2 ** (UNSIGNED[kind] - 1))
    return (*small, -1, -500_000, 2 ** SIGNED[kind] - 1, -(2 ** SIGNED[kind]))
