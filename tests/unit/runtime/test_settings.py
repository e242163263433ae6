from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal

import pytest

from deepsing.runtime.settings import (
    PREFIXES,
    SERVER_PREFIX,
    Between,
    ServerSettings,
    SettingsError,
    check_environment,
    parse_folders,
    settings_from_environment,
)
from tests.architecture.tree import SERVICES


@dataclass(frozen=True)
class Settings:
    name: str = "x"
    rows: Annotated[int, Between(1, 64)] = 8
    wait_s: float = 0.5
    strict: bool = False
    folder: Path = Path("models")
    styles: tuple[str, ...] = ()
    provider: Literal["cpu", "cuda"] = "cpu"
    cache: Path | None = None
    limit: Annotated[float, Between(0.5)] = 1.0
    names: tuple[str, ...] = field(default_factory=lambda: ("a",))


@dataclass(frozen=True)
class Needy:
    target: str


def read(**environ: str) -> Settings:
    return settings_from_environment(Settings, "T_", {f"T_{name}": value for name, value in environ.items()})


def test_without_variables_the_defaults_hold() -> None:
    assert read() == Settings()


def test_each_kind_of_field_is_read_from_its_variable() -> None:
    settings = read(
        NAME="a b", ROWS="64", WAIT_S="1e-3", STRICT="Yes", FOLDER="/m", STYLES="a, b,", PROVIDER="cuda", CACHE="c"
    )
    assert settings == Settings(
        name="a b",
        rows=64,
        wait_s=0.001,
        strict=True,
        folder=Path("/m"),
        styles=("a", "b"),
        provider="cuda",
        cache=Path("c"),
    )


def test_variables_of_other_prefixes_are_not_read() -> None:
    assert settings_from_environment(Settings, "T_", {"U_ROWS": "3"}) == Settings()


@pytest.mark.parametrize("value", ["", " ", "\t"])
@pytest.mark.parametrize("name", [field.name.upper() for field in fields(Settings)])
def test_an_empty_value_is_refused_whatever_it_is_for(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**{name: value})
    assert str(caught.value).startswith(f"T_{name} is {value!r}; set it to ")
    assert str(caught.value).endswith(", or leave it out")


def test_a_variable_that_is_no_setting_is_refused_with_the_nearest_that_is() -> None:
    with pytest.raises(SettingsError) as caught:
        read(FOLDR="/m")
    assert str(caught.value) == "T_FOLDR is '/m', but there is no such setting; leave it out, or set T_FOLDER"
    with pytest.raises(SettingsError, match="set one of: T_NAME, T_ROWS, T_WAIT_S"):
        read(QQQQQQQQQQQ="1")


def test_the_value_of_an_unknown_variable_is_not_shown_where_it_may_be_secret() -> None:
    for name, value in (("API_KEY", "hush"), ("PASSWORD", "hush"), ("FOLDR", "deepsing_hush")):
        with pytest.raises(SettingsError) as caught:
            read(**{name: value})
        assert "hush" not in str(caught.value)


def test_settings_of_tls_are_read_elsewhere_than_those_of_the_server() -> None:
    environ = {"DEEPSING_SERVER_TLS_KEY": "x"}
    assert settings_from_environment(ServerSettings, SERVER_PREFIX, environ) == ServerSettings()
    with pytest.raises(SettingsError, match="DEEPSING_SERVER_TLS is '1', but there is no such setting"):
        settings_from_environment(ServerSettings, SERVER_PREFIX, {"DEEPSING_SERVER_TLS": "1"})


@pytest.mark.parametrize("name", ["DEEPSING_COMPSER_STORE", "DEEPSING_STORE", "DEEPSING_SERVR_METRICS_PORT"])
def test_a_variable_that_nothing_of_the_project_reads_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is '9464', but there is no such setting; leave it out, or set "):
        check_environment({name: "9464"})


def test_variables_of_other_services_and_programs_are_left_alone() -> None:
    check_environment({"DEEPSING_GENERATOR_ENGINES": "x", "DEEPSING_API_KEY": "k", "OTEL_SERVICE_NAME": "", "HOME": ""})


def test_what_kubernetes_says_of_a_service_called_deepsing_is_no_setting() -> None:
    links = {
        "SERVICE_HOST": "10.0.0.7",
        "SERVICE_PORT": "50051",
        "SERVICE_PORT_GRPC": "50051",
        "PORT": "tcp://10.0.0.7:50051",
        "PORT_50051_TCP": "tcp://10.0.0.7:50051",
        "PORT_50051_TCP_PROTO": "tcp",
        "PORT_50051_TCP_PORT": "50051",
        "PORT_50051_TCP_ADDR": "10.0.0.7",
    }
    for prefix in ("DEEPSING_X_", "T_"):
        environ = {f"{prefix}{name}": value for name, value in links.items()}
        check_environment(environ)
        assert settings_from_environment(Settings, "T_", environ) == Settings()


def test_every_service_has_its_prefix() -> None:
    assert {f"DEEPSING_{service.upper()}_" for service in SERVICES} < set(PREFIXES)


def test_folders_of_models_must_be_there_and_hold_some(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"X names '.*/nowhere', which is no folder; name one that is there"):
        parse_folders("X", [str(tmp_path / "nowhere")])
    with pytest.raises(SettingsError, match=r"which holds no model; name the folder of NAME\.json"):
        parse_folders("X", [str(tmp_path)])
    (tmp_path / "canvas.json").write_text("{}")
    assert parse_folders("X", [str(tmp_path)]) == [tmp_path]


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("ROWS", "65", "a whole number from 1 to 64"),
        ("ROWS", "0", "a whole number from 1 to 64"),
        ("ROWS", "8.0", "a whole number from 1 to 64"),
        ("WAIT_S", "nan", "a number"),
        ("WAIT_S", "soon", "a number"),
        ("LIMIT", "0.1", "a number of 0.5 or more"),
        ("STRICT", "perhaps", "true or false"),
        ("STYLES", ",", "texts separated by commas"),
        ("STYLES", "a,,b", "texts separated by commas"),
        ("PROVIDER", "tpu", "one of: cpu, cuda"),
    ],
)
def test_a_bad_value_names_variable_value_and_rule(name: str, value: str, rule: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**{name: value})
    assert str(caught.value) == f"T_{name} is {value!r}; set it to {rule}"


def test_a_field_without_default_must_be_set() -> None:
    with pytest.raises(SettingsError, match="T_TARGET is not set; set it to a text"):
        settings_from_environment(Needy, "T_", {})
    assert settings_from_environment(Needy, "T_", {"T_TARGET": "h:1"}).target == "h:1"


def test_a_server_listens_on_loopback_unless_told_otherwise() -> None:
    assert ServerSettings().host == "127.0.0.1"
    with pytest.raises(
        SettingsError, match="DEEPSING_SERVER_PORT is '70000'; set it to a whole number from 0 to 65535"
    ):
        settings_from_environment(ServerSettings, "DEEPSING_SERVER_", {"DEEPSING_SERVER_PORT": "70000"})
