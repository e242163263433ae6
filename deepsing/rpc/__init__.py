"""What client and server share of gRPC: errors, channels, handlers, and work-arounds for faults of grpc.aio."""
