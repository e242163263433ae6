"""Client side of a connection between services: keepalive, balancing, retries, and the time that is left."""

import json
import math
from typing import Any

import grpc

__all__ = ["open_channel", "remaining_s"]

KEEPALIVE_MS = 10_000  # a ping after so long without a byte
PING_TIMEOUT_MS = 10_000  # for its answer; grpcio 1.85 heeds this one alone, and unset it is a minute
LOOKAHEAD_BYTES = 256 * 2**10  # that may be on their way to a reader; it keeps what queues behind a slow line short
RETRIES = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [{"name": [{}], "retryPolicy": RETRIES}],  # of every method; a stream until its first answer
}


def open_channel(
    target: str, *, max_message_bytes: int = 4 * 2**20, tls: grpc.ChannelCredentials | None = None
) -> grpc.aio.Channel:
    """Opens a channel; close it when done. End its calls with `call.cancel()` in a `finally` (see `workarounds`).

    Args:
        target: "host:port" or any gRPC target; a name with several addresses is balanced call by call.
        max_message_bytes: of one message, either way.
        tls: None is plaintext.
    """
    options = [
        ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
        ("grpc.enable_http_proxy", 0),  # a web proxy in the environment is not meant for these
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
        ("grpc.http2.bdp_probe", 0),  # its pings go out while data flows, and their answers queue behind that
        ("grpc.http2.lookahead_bytes", LOOKAHEAD_BYTES),
        ("grpc.http2.max_pings_without_data", 0),  # streams may be quiet for long
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 8_000),  # longest wait for a connection; a frozen process accepts them, too
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.use_local_subchannel_pool", 1),  # channels do not share a connection, nor its faults
    ]
    new_channel = grpc.aio.secure_channel if tls else grpc.aio.insecure_channel
    return new_channel(target, *([tls] if tls else []), options=options)


def remaining_s(context: Any, cap_s: float) -> float:
    """Seconds to give a call further down, which gets no deadline by itself; from 0 to `cap_s`.

    Args:
        context: of the call being served.
        cap_s: what the server allows at most, also where the caller set no deadline.
    """
    left = context.time_remaining()
    return max(0.0, min(cap_s, math.inf if left is None else left))
