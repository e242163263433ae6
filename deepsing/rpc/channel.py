"""Opens channels with keepalive, load balancing and retries, and computes the time left for calls further down."""

import json
import math
from typing import Any

import grpc

__all__ = ["open_channel", "build_options", "remaining_s"]

KEEPALIVE_MS = 10_000  # without data before a ping is sent
PING_TIMEOUT_MS = 10_000  # for its answer; grpcio 1.85 obeys this option only, whose default is a minute
LOOKAHEAD_BYTES = 256 * 2**10  # that may be on their way to a reader; keeps the queue before a slow line short
RETRIES = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {"name": [{}], "retryPolicy": RETRIES}
    ],  # for every method; a stream only until its first response
}


def open_channel(
    target: str, *, max_message_bytes: int = 4 * 2**20, tls: grpc.ChannelCredentials | None = None
) -> grpc.aio.Channel:
    """Opens a channel; close it when done. End its calls with `call.cancel()` in a `finally` (see `workarounds`).

    Args:
        target: "host:port" or any gRPC target; calls are spread over all addresses of a name.
        max_message_bytes: of one message, either way.
        tls: None is plaintext.
    """
    new_channel = grpc.aio.secure_channel if tls else grpc.aio.insecure_channel
    return new_channel(target, *([tls] if tls else []), options=build_options(max_message_bytes))


def build_options(max_message_bytes: int) -> list[tuple[str, int | str]]:
    """Options of a channel, each of which grpcio knows: it ignores others without a word."""
    return [
        ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
        ("grpc.enable_http_proxy", 0),  # a web proxy in the environment is not meant for calls between services
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
        ("grpc.http2.bdp_probe", 0),  # its pings are sent while data flows, and their answers queue behind it
        ("grpc.http2.lookahead_bytes", LOOKAHEAD_BYTES),
        ("grpc.http2.max_pings_without_data", 0),  # without data, however long a stream is quiet
        ("grpc.initial_reconnect_backoff_ms", 200),
        (
            "grpc.min_reconnect_backoff_ms",
            8_000,
        ),  # longest wait for a connection; even a frozen process accepts connections
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.use_local_subchannel_pool", 1),  # channels do not share connections
    ]


def remaining_s(context: Any, cap_s: float) -> float:
    """Returns how many seconds to give a call to another service, from 0 to `cap_s`; gRPC passes no deadline on.

    Args:
        context: of the call that is being served.
        cap_s: the most that this server allows, also if the caller set no deadline.
    """
    left = context.time_remaining()
    return max(0.0, min(cap_s, math.inf if left is None else left))
