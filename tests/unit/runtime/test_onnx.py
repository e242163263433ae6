import asyncio
import logging
import threading
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from deepsing.runtime.onnx import DeviceThread, ProviderError, open_session
from deepsing.telemetry.ids import request_id

# onnx.helper's serialisation of a graph with one node, y = Identity(x), float32 (n,), opset 13
IDENTITY = bytes.fromhex(
    "080812003a390a100a017812017922084964656e746974791201675a100a0178120b0a09080112050a0312016e62100a0179"
    "120b0a09080112050a0312016e42040a00100d"
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "identity.onnx"
    path.write_bytes(IDENTITY)
    return path


@pytest.mark.parametrize("provider", ["cpu", "auto"])
def test_a_model_runs_where_it_was_asked_to(model: Path, provider: str) -> None:
    session = open_session(model, provider=provider, threads=1)
    assert session.get_providers()[-1] == "CPUExecutionProvider"
    assert session.run(None, {"x": np.array([1, 2], np.float32)})[0].tolist() == [1, 2]


def test_idle_threads_do_not_spin(model: Path) -> None:
    options = open_session(model, threads=3).get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.intra_op_num_threads == 3


def test_an_unknown_provider_is_refused_with_the_choice(model: Path) -> None:
    with pytest.raises(ProviderError, match="provider is 'tpu'; choose one of: cpu, cuda, auto"):
        open_session(model, provider="tpu")


without_cuda = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is there"
)


@without_cuda
def test_a_missing_provider_is_an_error_and_not_a_silent_fallback(model: Path) -> None:
    with pytest.raises(ProviderError, match="CUDAExecutionProvider was asked for but CPUExecutionProvider would run"):
        open_session(model, provider="cuda")


@without_cuda
def test_auto_says_that_it_fell_back(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        open_session(model, provider="auto")
    assert "provider auto: identity.onnx runs on CPUExecutionProvider" in caplog.text


async def test_a_device_runs_calls_one_by_one_in_their_order_in_one_thread() -> None:
    device, order, threads = DeviceThread("gpu"), list[int](), set[str]()

    def note(number: int) -> int:
        order.append(number)
        threads.add(threading.current_thread().name)
        return number

    assert await asyncio.gather(*(device.run(note, number) for number in range(20))) == list(range(20))
    assert order == list(range(20))
    assert len(threads) == 1
    assert threads.pop().startswith("gpu")
    device.close()


async def test_a_call_cancelled_before_its_turn_never_runs() -> None:
    device, gate, ran = DeviceThread(), threading.Event(), list[str]()
    first = asyncio.create_task(device.run(gate.wait, 10))
    second = asyncio.create_task(device.run(ran.append, "second"))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait({second})
    gate.set()
    assert await first
    await device.run(ran.append, "third")
    assert ran == ["third"]
    device.close()


async def test_a_call_keeps_the_request_id_in_the_thread() -> None:
    device = DeviceThread()
    request_id.set("r1")
    assert await device.run(request_id.get) == "r1"
    device.close()
