"""The `deepsing` command. It never imports a service: it starts them as processes and talks to them over gRPC."""
