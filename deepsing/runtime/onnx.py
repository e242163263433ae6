"""ONNX sessions on the provider that was asked for, and a thread per device, so that no event loop is blocked."""

import asyncio
import contextvars
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import onnxruntime

from deepsing.runtime.cores import available_cores

__all__ = ["open_session", "DeviceThread", "ProviderError"]

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
P = ParamSpec("P")
R = TypeVar("R")
logger = logging.getLogger(__name__)


class ProviderError(RuntimeError):
    """The provider that was asked for is not available on this machine."""


def open_session(path: Path | str, *, provider: str = "cpu", threads: int = 0) -> onnxruntime.InferenceSession:
    """Opens a model on the provider asked for; onnxruntime itself falls back to the CPU silently.

    Args:
        path: an .onnx file.
        provider: "cpu", "cuda", or "auto" (cuda if available, else cpu with a warning).
        threads: for one run; 0 takes `available_cores()`.

    Raises:
        ProviderError: the provider is unknown or not available on this machine.
    """
    if provider not in (*PROVIDERS, "auto"):
        raise ProviderError(f"provider is {provider!r}; choose one of: {', '.join(PROVIDERS)}, auto")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only; whether the provider is the right one is checked below
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads must not burn a core
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=_providers(provider))
    active = session.get_providers()[0]
    if provider == "auto":
        if active != PROVIDERS["cuda"]:
            logger.warning("provider auto: %s runs on %s", Path(path).name, active)
    elif active != PROVIDERS[provider]:
        raise ProviderError(
            f"{PROVIDERS[provider]} was asked for but {active} would run; install onnxruntime-gpu and its CUDA"
            " libraries, or choose cpu or auto"
        )
    return session


def _providers(provider: str) -> list[Any]:
    if provider == "cpu" or PROVIDERS["cuda"] not in onnxruntime.get_available_providers():
        return [PROVIDERS["cpu"]]
    return [(PROVIDERS["cuda"], {"cudnn_conv_algo_search": "HEURISTIC"}), PROVIDERS["cpu"]]


class DeviceThread:
    """A thread for one device: calls run one after the other, in the order in which they came."""

    def __init__(self, name: str = "device") -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs `fn` in the thread; if the caller is cancelled before its turn, `fn` never runs."""
        call = partial(contextvars.copy_context().run, fn, *args, **kwargs)  # keeps the request id in the logs
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def close(self) -> None:
        """Drops the calls that wait; one that is running is left to finish."""
        self._executor.shutdown(wait=False, cancel_futures=True)
