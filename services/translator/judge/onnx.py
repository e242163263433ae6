"""Opens exported networks on a CPU, with few threads that sleep when idle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["open_network"]


def open_network(path: Path, threads: int = 1) -> Any:
    """An `onnxruntime.InferenceSession` of an ONNX file.

    Args:
        path: the file.
        threads: for one run.
    """
    import onnxruntime  # imported late: a translator without a judge starts without it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
