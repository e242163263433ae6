"""Nothing in here imports a sibling."""

import os

# Since 1.29 onnxruntime reports to its maker what it runs, unless this is set before it is first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
