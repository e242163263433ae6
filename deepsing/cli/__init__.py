"""The `deepsing` command."""

import os

# gRPC's C core writes lines of its own to standard error, which are not for people; it reads this before it starts.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
