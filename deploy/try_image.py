"""Starts an image of buildah as a container engine would, waits until it is healthy, and sends it SIGTERM.

`python3 deploy/try_image.py IMAGE` (root, Linux, buildah, util-linux) prints one JSON line; exit status 0 means
that all went well. The command runs as process 1 and the image's user, with a read-only root and a writable /tmp.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["try_image"]

START_S = 60.0
STOP_S = 45.0
CAGE = """
set -e
mount --bind "$ROOT" "$ROOT"
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount -t tmpfs tmpfs "$ROOT/tmp"
mount -o remount,bind,ro "$ROOT"
exec chroot --userspec="$OWNER" "$ROOT" /usr/bin/env -i -C "$FOLDER" "$@"
"""


def try_image(image: str) -> dict[str, Any]:
    """Runs an image once.

    Returns:
        healthy, start_s (until healthy), pid and user_id (as seen inside), exit_status and stop_s (after SIGTERM).
    """
    config = json.loads(_buildah("inspect", "--type", "image", image))["Docker"]["config"]
    container = _buildah("from", "--pull-never", image)
    try:
        root = _buildah("mount", container)
        environment = [*config["Env"], f"DEEPSING_SERVER_PORT={_free_port()}"]
        started = time.monotonic()
        server = _start_caged(root, config, [*environment, *config["Entrypoint"]])
        healthy = _wait_until_healthy(root, config, environment, server)
        seen = {"image": image, "healthy": healthy, "start_s": round(time.monotonic() - started, 2)}
        return seen | (_stop(server) if healthy else {"exit_status": server.poll()})
    finally:
        _buildah("rm", container)


def _start_caged(root: str, config: dict[str, Any], command: list[str]) -> subprocess.Popen[bytes]:
    cage = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", CAGE, "sh"]
    settings = {"ROOT": root, "OWNER": config["User"], "FOLDER": config["WorkingDir"], "PATH": os.environ["PATH"]}
    return subprocess.Popen([*cage, *command], env=settings)


def _wait_until_healthy(
    root: str, config: dict[str, Any], environment: list[str], server: subprocess.Popen[bytes]
) -> bool:
    command = [*environment, *config["Healthcheck"]["Test"][1:]]
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        if _start_caged(root, config, command).wait() == 0:
            return True
    return False


def _stop(server: subprocess.Popen[bytes]) -> dict[str, Any]:
    (inside,) = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    facts = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{inside}/status").read_text().splitlines() if ":\t" in line
    )
    stopping = time.monotonic()
    os.kill(int(inside), signal.SIGTERM)
    status = server.wait(STOP_S)
    return {
        "pid": int(facts["NSpid"].split()[-1]),
        "user_id": int(facts["Uid"].split()[0]),
        "exit_status": status,
        "stop_s": round(time.monotonic() - stopping, 2),
    }


def _buildah(*arguments: str) -> str:
    answer = subprocess.run(["buildah", *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return answer.stdout.strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    outcome = try_image(sys.argv[1])
    sys.stdout.write(json.dumps(outcome) + "\n")
    good = outcome["healthy"] and outcome["exit_status"] == 0 and outcome["pid"] == 1 and outcome["user_id"] != 0
    sys.exit(0 if good else 1)
