"""The `deepsing` command. It never imports a service: it starts them as processes and talks to them over gRPC."""

import os

# gRPC's C core writes lines of its own to standard error, which are not for people; it reads this before it starts.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
