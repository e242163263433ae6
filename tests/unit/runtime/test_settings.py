from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest

from deepsing.runtime.settings import Between, ServerSettings, SettingsError, settings_from_environment


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


def test_an_empty_optional_is_none_and_other_prefixes_are_not_read() -> None:
    assert read(CACHE="").cache is None
    assert settings_from_environment(Settings, "T_", {"U_ROWS": "3", "T_OTHER": "x"}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("ROWS", "65", "a whole number from 1 to 64"),
        ("ROWS", "0", "a whole number from 1 to 64"),
        ("ROWS", "8.0", "a whole number from 1 to 64"),
        ("ROWS", "", "a whole number from 1 to 64"),
        ("WAIT_S", "nan", "a number"),
        ("WAIT_S", "soon", "a number"),
        ("LIMIT", "0.1", "a number of 0.5 or more"),
        ("STRICT", "perhaps", "true or false"),
        ("FOLDER", "", "a path"),
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
