"""Checks the gRPC health of the server in this container: exit status 0 is SERVING.

For docker compose, which has no gRPC probe; Kubernetes has its own.
"""

import os
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

__all__ = ["is_serving"]

TIMEOUT_S = 2.0


def is_serving(target: str, service: str = "") -> bool:
    """Whether the health of a service is SERVING (empty: of the whole process)."""
    with grpc.insecure_channel(target) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_S)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    # With TLS on the main port, health has a port of its own.
    port = os.environ.get("DEEPSING_SERVER_HEALTH_PORT") or os.environ.get("DEEPSING_SERVER_PORT", "50051")
    sys.exit(0 if is_serving(f"127.0.0.1:{port}") else 1)
