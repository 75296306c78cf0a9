"""What commands write: results on stdout, diagnosis on stderr, nothing that only a terminal understands in a pipe."""

from __future__ import annotations

import io
import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from adapter.cli import output

ROWS = [{"id": "a", "n": 1, "ok": True, "codes": ["E36", "T02"]}, {"id": "b", "n": None, "ok": False, "codes": []}]
COLUMNS = {"id": "ID", "n": "number", "ok": "fine", "codes": "codes"}


def test_a_table_in_a_pipe_is_tab_separated(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(ROWS, COLUMNS)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["ID\tnumber\tfine\tcodes", "a\t1\tyes\tE36, T02", "b\t–\tno\t"]


def test_a_table_on_a_terminal_has_columns_a_person_can_read() -> None:
    master, slave = pty.openpty()
    code = (
        "from adapter.cli import output\n"
        f"output.table({ROWS!r}, {COLUMNS!r})\n"
        "output.note('a note')\n"
        "with output.progress([1, 2, 3], 'counting') as queue:\n    print(sum(queue))\n"
    )
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=slave, stderr=slave, env=env)
    process.wait(timeout=30)
    os.close(slave)
    shown = os.read(master, 100_000).decode()
    os.close(master)
    assert "E36, T02" in shown
    assert "\t" not in shown
    assert "─" in shown
    assert "6" in shown


def test_json_lines_keep_norwegian_letters_and_stay_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.json_line({"text": "må fylles ut\nher", "when": None})
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert "må" in printed
    assert json.loads(printed)["text"] == "må fylles ut\nher"


def test_a_note_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    output.note("nothing here")
    assert capsys.readouterr() == ("", "nothing here\n")


def test_a_progress_bar_never_appears_outside_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress([0, 1, 2], "checking") as queue:
        assert list(queue) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_findings_show_severity_rule_place_and_text(capsys: pytest.CaptureFixture[str]) -> None:
    output.findings(
        [
            {"rule": "V3", "severity": "error", "path": "/MsgHead", "line": 7, "text": "is expected"},
            {"rule": "P17", "severity": "warning", "path": None, "line": None, "text": "no roots"},
        ]
    )
    assert capsys.readouterr().out.splitlines() == [
        "  error   V3 /MsgHead line 7: is expected",
        "  warning P17: no roots",
    ]


def test_p21_a_written_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    target = tmp_path / "out.xml"
    output.write_bytes(b"<a/>", str(target))
    assert target.read_bytes() == b"<a/>"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.parametrize("out", [None, "-"])
def test_bytes_go_to_stdout_untouched(out: str | None) -> None:
    stream = io.BytesIO()
    output.write_bytes(b"\xc3\xa6\r\n", out, stream)
    assert stream.getvalue() == b"\xc3\xa6\r\n"
