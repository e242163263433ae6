"""The `deepsing` command. It never imports a service: it starts them as processes and talks to them over gRPC."""

import os

# Keeps the log lines of gRPC's C core off standard error; it reads this when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
