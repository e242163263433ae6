"""Services started by the command: ready before use, watched while used, gone afterwards whatever happens."""

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepsing.local import process as process_module
from deepsing.local import services as services_module
from deepsing.local.failures import CommandError
from deepsing.local.process import wait_until_serving
from deepsing.local.services import NAMES, LocalServices, find_free_ports
from tests.e2e.cli.stand_ins import command, deepsing, install, wait_for_death, wait_for_result

FREE = dict.fromkeys(NAMES, 0)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = install(tmp_path / "clone")
    monkeypatch.setattr(process_module, "service_root", lambda module, way_out: folder)
    (tmp_path / "notes").mkdir()
    monkeypatch.setenv("STAND_IN_NOTES", str(tmp_path / "notes"))
    (folder / "song.mp3").write_bytes(b"song")
    return folder


def notes(root: Path) -> dict[str, dict[str, str]]:
    return {path.stem: json.loads(path.read_text()) for path in (root.parent / "notes").iterdir()}


def glob_names(root: Path, pattern: str) -> list[str]:
    return [path.name for path in root.glob(pattern)]


async def forever() -> None:
    await asyncio.Event().wait()


async def test_the_composer_is_told_where_the_others_are_and_all_are_gone_afterwards(root: Path) -> None:
    async with LocalServices(find_free_ports(FREE)) as services:
        targets, pids = dict(services.targets), dict(services.pids)
        settings = notes(root)["composer"]
    assert len(set(targets.values())) == 4
    for name in NAMES[1:]:
        assert settings[f"DEEPSING_COMPOSER_{name.upper()}_TARGET"] == targets[name]
    assert settings["DEEPSING_SERVER_PORT"] == targets["composer"].removeprefix("127.0.0.1:")
    for pid in pids.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_service_that_ends_while_it_starts_is_named_with_its_last_words(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_TRANSLATOR", "dies")
    with pytest.raises(CommandError, match="translator ended with exit code 3; its last message: no model for transl"):
        async with LocalServices(find_free_ports(FREE)):
            pass
    assert all(wait_for_death(int(note["pid"])) for note in notes(root).values())


async def test_a_service_killed_at_work_ends_the_work_with_its_name(root: Path) -> None:
    async with LocalServices(find_free_ports(FREE)) as services:
        work = asyncio.create_task(services.watch(forever()))
        os.kill(services.pids["generator"], signal.SIGKILL)
        with pytest.raises(CommandError, match="generator was killed by SIGKILL"):
            await asyncio.wait_for(work, 20)


async def test_a_service_that_does_not_heed_sigterm_is_killed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_GENERATOR", "deaf")
    async with LocalServices(find_free_ports({"generator": 0}), grace_s=0.1) as services:
        pid = services.pids["generator"]
    assert wait_for_death(pid)


async def test_logs_are_kept_where_they_are_wanted(root: Path, tmp_path: Path) -> None:
    async with LocalServices(find_free_ports({"generator": 0}), logs=tmp_path / "logs"):
        pass
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["generator.log"]


async def test_render_without_a_target_starts_all_four_and_leaves_only_the_story(root: Path) -> None:
    ended = await deepsing("render", "song.mp3", "story.mp4", "--json", root=root)
    assert (ended.status, ended.err) == (0, "")
    assert json.loads(ended.out)["frames"] == 24
    assert sorted(notes(root)) == sorted(NAMES)
    assert all(wait_for_death(int(note["pid"])) for note in notes(root).values())
    assert glob_names(root, "deepsing-*") == []  # the logs' folder


async def test_a_folder_called_services_where_the_command_is_run_is_not_ours(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "services").mkdir(parents=True)
    (elsewhere / "services" / "__init__.py").write_text("raise SystemExit('not this one')")
    ended = await deepsing("concepts", "--json", root=root, cwd=elsewhere)
    assert (ended.status, ended.err) == (0, "")
    known = {"arousal": -0.5, "valence": 0.75, "themes": ["water", "woods"], "rated_by": "people"}
    assert json.loads(ended.out)[0] == {"name": "autumn lake", **known}


async def test_a_listing_for_other_programs_has_a_header_and_a_row_a_line(root: Path) -> None:
    ended = await deepsing("concepts", root=root)
    header = "name\tarousal\tvalence\tthemes\trated_by\n"
    assert ended.out == f"{header}autumn lake\t-0.5\t0.75\twater, woods\tpeople\n[red] storm\t0.0\t0.0\t\t\n"


async def test_a_sheet_shows_every_concept_once(root: Path) -> None:
    ended = await deepsing("concepts", "--sheet", "all.png", root=root)
    assert (ended.status, ended.out) == (0, "all.png: 2 concepts\n")
    assert "painting, frame 2 of 2" in ended.err
    with Image.open(root / "all.png") as sheet:
        shades = np.asarray(sheet.convert("L"))
    for shade in (100, 200):
        assert 0.9 < (np.abs(shades.astype(int) - shade) < 8).sum() / (160 * 128) < 1.2


async def test_a_service_killed_in_the_middle_of_a_render_is_an_error_not_a_wait(root: Path) -> None:
    async with command("render", "song.mp3", "story.mp4", root=root, STAND_IN_COMPOSER="waits") as process:
        assert process.stderr
        while b"painting" not in await asyncio.wait_for(process.stderr.readline(), 20):
            pass
        os.kill(int(notes(root)["audio_sentiment"]["pid"]), signal.SIGKILL)
        ended = await wait_for_result(process)
    assert ended.status == 1
    assert ended.line.startswith("deepsing: audio_sentiment was killed by SIGKILL")
    assert glob_names(root, "story*") == []
    assert all(wait_for_death(int(note["pid"])) for note in notes(root).values())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_up_says_where_all_are_and_stops_them_on_a_signal(
    root: Path, number: signal.Signals, status: int
) -> None:
    async with command("up", "--port", "0", "--json", root=root) as process:
        assert process.stdout
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        assert list(ready["targets"]) == list(NAMES)
        process.send_signal(number)
        assert (await wait_for_result(process)).status == status
    assert all(wait_for_death(pid) for pid in ready["pids"].values())


async def test_up_starts_a_service_again_that_was_killed(root: Path) -> None:
    async with command("up", "--port", "0", "--json", root=root) as process:
        assert process.stdout
        assert process.stderr
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        os.kill(ready["pids"]["translator"], signal.SIGKILL)
        lines = [(await asyncio.wait_for(process.stderr.readline(), 20)).decode() for _ in range(2)]
        assert lines[0].startswith("deepsing: translator was killed by SIGKILL")
        assert lines[0].endswith("; starting it again in 0.5 s\n")
        pid = int(notes(root)["translator"]["pid"])
        assert lines[1] == f"deepsing: translator is serving again, as process {pid}\n"
        assert pid != ready["pids"]["translator"]
        await wait_until_serving(ready["targets"]["translator"], 20)
        process.send_signal(signal.SIGINT)
        assert (await wait_for_result(process)).status == 130
    assert all(wait_for_death(int(note["pid"])) for note in notes(root).values())


async def test_a_service_that_keeps_ending_is_given_up_with_its_last_message(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services_module, "FIRST_RESTART_PAUSE_S", 0.01)
    said: list[str] = []
    async with LocalServices(find_free_ports({"translator": 0})) as services:
        monkeypatch.setenv("STAND_IN_TRANSLATOR", "dies")
        os.kill(services.pids["translator"], signal.SIGKILL)
        with pytest.raises(
            CommandError, match="last message: no model for translator; it has ended 4 times within 60 s"
        ):
            await asyncio.wait_for(services.keep_running(said.append), 20)
    assert [line.partition(" again in ")[2] for line in said] == ["0.01 s", "0.02 s", "0.04 s"]
    assert said[1].startswith("translator ended with exit code 3; its last message: no model for translator")


async def test_up_says_what_it_waits_for_and_a_second_ctrl_c_ends_it_at_once(root: Path) -> None:
    async with command("up", "--port", "0", "--json", root=root, STAND_IN_GENERATOR="deaf") as process:
        assert process.stdout
        assert process.stderr
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        process.send_signal(signal.SIGINT)
        waiting = await asyncio.wait_for(process.stderr.readline(), 20)
        assert waiting.startswith(b"deepsing: stopping; stories that are being rendered may take up to 30 s to finish")
        process.send_signal(signal.SIGINT)
        ended = await wait_for_result(process)  # within less than the 30 s
    assert (ended.status, ended.err) == (130, "")
    assert all(wait_for_death(pid) for pid in ready["pids"].values())


async def test_up_prints_whole_addresses_on_a_narrow_terminal_and_the_command_that_watches_them(root: Path) -> None:
    async with command("up", "--port", "0", "--metrics-port", "0", root=root, COLUMNS="40") as process:
        assert process.stdout
        lines = [(await asyncio.wait_for(process.stdout.readline(), 20)).decode() for _ in range(8)]
        process.send_signal(signal.SIGTERM)
        await wait_for_result(process)
    assert lines[0].split() == ["service", "address", "metrics", "process"]
    metrics = [line.split()[2] for line in lines[1:5]]
    assert all(re.fullmatch(r"http://127\.0\.0\.1:\d{4,5}/metrics", address) for address in metrics)
    targets = " ".join(address.removeprefix("http://").removesuffix("/metrics") for address in metrics)
    assert lines[6] == f"Watch: deepsing top {targets}\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the tie to the parent is Linux's")
async def test_services_end_with_a_command_that_is_killed(root: Path) -> None:
    async with command("up", "--port", "0", "--json", root=root) as process:
        assert process.stdout
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        process.kill()
        await process.wait()
    assert all(wait_for_death(pid) for pid in ready["pids"].values())


async def test_without_the_services_code_the_way_out_is_named(tmp_path: Path) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").touch()
    (tmp_path / "song.mp3").write_bytes(b"song")
    ended = await deepsing("render", "song.mp3", "story.mp4", root=tmp_path)
    assert ended.status == 2
    assert "services.composer.__main__ is not installed here; give --target HOST:PORT" in ended.line


@pytest.mark.parametrize("guarded", [False, True])
async def test_services_of_a_command_leave_access_aside_and_those_of_up_heed_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    for name in ("ACCESS_KEYS_FILE", "CHANNEL_KEY_FILE", "SERVER_TLS_CLIENT_CA", "SERVER_HEALTH_PORT"):
        monkeypatch.setenv(f"DEEPSING_{name}", "0")
    async with LocalServices(find_free_ports({"composer": 0}), guarded=guarded):
        settings = notes(root)["composer"]
    assert ("DEEPSING_ACCESS_KEYS_FILE" in settings) is guarded
    assert len(
        [name for name in settings if name.startswith(("DEEPSING_ACCESS", "DEEPSING_CHANNEL", "DEEPSING_SERVER_TLS"))]
    ) == (3 if guarded else 0)
