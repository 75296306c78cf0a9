"""The command line as a whole: exit codes, streams, help."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from adapter.cli import app as application
from adapter.cli.app import COMMANDS, app, run
from adapter.errors import (
    AccessError,
    AdapterError,
    ConflictError,
    Finding,
    InputError,
    RefusedError,
    RemoteRefusalError,
    SettingsError,
    Severity,
    StoreError,
    TransportError,
    UnreadableError,
)

FAULTS: list[tuple[AdapterError, int]] = [
    (InputError("unknown field", where="$.sendr"), 2),
    (SettingsError("there is no settings file"), 2),
    (ConflictError("same key, other content"), 2),
    (AccessError("no access", status=403), 2),
    (TransportError("no connection"), 3),
    (StoreError("the database is locked"), 3),
    (AdapterError("a defect"), 3),
    (UnreadableError("not well-formed"), 1),
    (RemoteRefusalError("refused", status=400), 1),
    (RefusedError("has errors"), 1),
]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """A real command in the table that raises what is put into the list."""
    errors: list[BaseException] = []

    @click.command()
    def boom() -> None:
        raise errors[0]

    monkeypatch.setitem(COMMANDS, "boom", ("app", "boom", "Raise.", application.TRYING))
    monkeypatch.setattr(application, "boom", boom, raising=False)
    return errors


@pytest.mark.parametrize(("error", "code"), FAULTS, ids=lambda value: type(value).__name__)
def test_an_error_becomes_a_line_on_stderr_and_the_exit_code_of_its_fault(
    failing: list[BaseException], error: AdapterError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(error)
    assert run(["boom"]) == code
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.startswith(f"adapter: {error.code}: {error.text}")


def test_a_refused_message_lists_its_findings(failing: list[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    finding = Finding(rule="V8", severity=Severity.ERROR, text="an id is expected", path="/MsgHead/MsgInfo/Patient")
    failing.append(RefusedError("has errors", [finding]))
    assert run(["boom"]) == 1
    assert "error V8 /MsgHead/MsgInfo/Patient: an id is expected" in capsys.readouterr().err


def test_a_defect_of_ours_is_not_hidden(failing: list[BaseException]) -> None:
    failing.append(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        run(["boom"])


def test_a_full_disk_is_the_world_failing(failing: list[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    failing.append(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.xml"))
    assert run(["boom"]) == 3
    assert "No space left on device: out.xml" in capsys.readouterr().err


def test_an_interrupt_ends_quietly(failing: list[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    failing.append(click.Abort())
    assert run(["boom"]) == 130
    assert capsys.readouterr().err == "stopped\n"


@pytest.mark.parametrize(
    "args", [["nonsense"], ["--nonsense"], ["check"], ["check", "no-such-file.xml"], ["list", "--limit", "x"]]
)
def test_wrong_use_is_exit_code_2_and_says_how_to_get_help(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(args) == 2
    assert "help" in capsys.readouterr().err


def test_a_mistyped_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["chekc"]) == 2
    assert "Did you mean 'check'?" in capsys.readouterr().err


@pytest.mark.parametrize("args", [["-h"], ["--help"], []])
def test_help_lists_every_command_with_a_line(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = run(args)
    shown = "".join(capsys.readouterr())
    assert code == (0 if args else 2)
    for name, (_, _, words, _) in COMMANDS.items():
        assert name in shown
        assert words.split(",")[0][:20] in shown


def test_the_overview_tells_the_exit_codes() -> None:
    assert app.epilog is not None
    assert "2 wrong use or settings" in app.epilog


@pytest.mark.parametrize("command", [["list"], ["show", "x"], ["run", "--once"], ["doctor"], ["inbox"], ["take"]])
def test_a_command_without_settings_says_where_to_get_some(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ADAPTER_CONFIG", raising=False)
    assert run(command) == 2
    assert "ADAPTER_CONFIG" in capsys.readouterr().err


def test_a_missing_settings_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--config", "/nowhere/adapter.toml", "list"]) == 2
    assert "/nowhere/adapter.toml" in capsys.readouterr().err


def test_the_settings_can_come_from_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPTER_CONFIG", "/nowhere/else.toml")
    assert run(["list"]) == 2
    assert "/nowhere/else.toml" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "start"), [([], "{"), (["--log", "json"], "{"), (["--log", "text"], "2")])
def test_logs_are_json_unless_a_person_asks_or_watches(
    options: list[str], start: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.xml").write_text("<a")
    assert run([*options, "replay", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(start)


def test_python_m_adapter_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "adapter", "--version"], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "adapter 0.1.0\n")


def test_a_reader_that_goes_away_is_no_failure() -> None:
    code = "import sys; from adapter.cli.app import run; sys.exit(run(['schema', 'settings']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(timeout=30)
