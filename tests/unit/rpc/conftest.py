from tests.unit.runtime.conftest import channel, echo, server

__all__ = ["channel", "echo", "server"]
