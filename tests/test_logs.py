"""Logs: structured, and unable to carry personal data (P21)."""

from __future__ import annotations

import ast
import io
import json
import logging
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapter import logs
from adapter.errors import InputError, UnreadableError

FNR = "13116900216"
NAME = "Canary Kanarifugl"
ADAPTER = Path(logs.__file__).parent


@pytest.fixture(autouse=True)
def _leave_no_trace() -> Iterator[None]:
    root = logging.getLogger()
    kept, level = list(root.handlers), root.level
    yield
    root.handlers[:] = kept
    root.setLevel(level)
    logging.captureWarnings(False)
    logging.raiseExceptions = True


def written(form: str = "json", level: int = logging.DEBUG) -> io.StringIO:
    stream = io.StringIO()
    logs.configure(form=form, level=level, stream=stream)
    return stream


def test_a_record_is_one_json_object_with_time_level_text_and_fields() -> None:
    stream = written()
    message_id = str(uuid.UUID(int=7))
    logging.getLogger("adapter.flow").info("message sent", extra={"message_id": message_id, "attempts": 2})
    line = json.loads(stream.getvalue())
    assert line["at"].endswith("Z")
    expected = {
        "level": "INFO",
        "logger": "adapter.flow",
        "text": "message sent",
        "message_id": message_id,
        "attempts": 2,
    }
    assert {key: value for key, value in line.items() if key != "at"} == expected


def test_the_text_form_has_the_same_facts() -> None:
    stream = written("text")
    logging.getLogger("adapter.x").warning("row held", extra={"her_id": 8094866, "code": "ACCESS"})
    assert 'WARNING row held her_id=8094866 code="ACCESS"' in stream.getvalue()


def test_p21_a_field_outside_the_list_is_dropped_and_counted() -> None:
    stream = written()
    logging.getLogger("adapter.x").info("seen", extra={"patient": NAME, "ssn": FNR, "count": 1})
    line = json.loads(stream.getvalue())
    assert (line["dropped"], line["count"]) == (2, 1)


@pytest.mark.parametrize("field", sorted(logs.FIELDS))
@pytest.mark.parametrize(
    "value", [FNR, int(FNR), "131169 00216", NAME + ",", [FNR], {"a": FNR}, f"x{FNR}y", f"id-{FNR}"]
)
def test_p21_no_listed_field_lets_a_persons_number_or_a_sentence_through(field: str, value: object) -> None:
    kept = logs.safe_fields({field: value})
    assert FNR not in str(kept).replace(" ", "")
    assert NAME not in str(kept)


def test_p21_arguments_never_enter_a_text() -> None:
    stream = written()
    logging.getLogger("adapter.x").info("received %s", FNR)
    assert json.loads(stream.getvalue())["text"] == "received %s"


def test_p21_an_exception_leaves_its_class_code_and_place_but_not_its_text() -> None:
    stream = written()
    try:
        try:
            raise ValueError(f"bad value {FNR} of {NAME}")
        except ValueError as inner:
            raise UnreadableError("not well-formed") from inner
    except UnreadableError:
        logging.getLogger("adapter.x").exception("message quarantined")
    line = json.loads(stream.getvalue())
    assert line["exception"]["error"] == "UnreadableError"
    assert line["exception"]["code"] == "T01"
    assert line["exception"]["cause"]["error"] == "ValueError"
    assert "test_logs.py" in line["exception"]["places"][0]
    assert FNR not in stream.getvalue()
    assert NAME not in stream.getvalue()


def test_p21_another_librarys_record_keeps_its_place_and_loses_its_text() -> None:
    stream = written()
    logging.getLogger("somebody.else").error("failed for %s", FNR, extra={"code": FNR})
    line = json.loads(stream.getvalue())
    assert line["text"] == "a library reports"
    assert line["place"].startswith("test_logs.py:")
    assert FNR not in stream.getvalue()


@pytest.mark.parametrize("name", ["signxml", "signxml.verifier", "urllib3.connectionpool", "sqlalchemy.engine"])
def test_loggers_that_show_content_stay_quiet_whatever_our_level_is(name: str) -> None:
    stream = written(level=logging.DEBUG)
    logging.getLogger(name).debug("digest input %s", FNR)
    logging.getLogger(name).info("digest input %s", FNR)
    assert stream.getvalue() == ""


def test_p21_python_warnings_go_the_same_way() -> None:
    stream = written()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn(f"odd value {FNR}", stacklevel=1)
        logging.captureWarnings(False)
    assert FNR not in stream.getvalue()


def test_a_log_call_that_cannot_be_written_does_not_print_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    stream = written()
    stream.close()
    logging.getLogger("adapter.x").info("seen", extra={"code": "T01"})
    assert FNR not in capsys.readouterr().err


def test_a_none_is_left_out_silently() -> None:
    assert logs.safe_fields({"code": None, "count": 0}) == {"count": 0}


def test_a_state_is_written_when_it_is_one_of_the_tables() -> None:
    assert logs.safe_fields({"step": "handed over", "answer": "not asked"}) == {
        "step": "handed over",
        "answer": "not asked",
    }
    assert logs.safe_fields({"incident": "spoof:0f2c81aa-3c1d-4b53-9a0e-52c3c3f0a7d1", "job": "poll:solvang"}) != {
        "dropped": 2
    }
    assert logs.safe_fields({"step": "Ola"}) == {"dropped": 1}


def test_an_input_error_shows_its_fault() -> None:
    assert logs.describe(InputError("x"))["fault"] == "caller"


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    for file in sorted(ADAPTER.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
                named = name in ("log", "logger", "_log", "LOG", "logging")
                if named and node.func.attr in ("debug", "info", "warning", "error", "exception", "critical"):
                    yield f"{file.relative_to(ADAPTER)}:{node.lineno}", node


def test_p21_every_log_text_in_the_package_is_a_constant_and_every_field_is_listed() -> None:
    for place, call in log_calls():
        assert len(call.args) == 1, place
        assert isinstance(call.args[0], ast.Constant), place
        for word in call.keywords:
            if word.arg == "extra" and isinstance(word.value, ast.Dict):
                for key in word.value.keys:
                    assert isinstance(key, ast.Constant), place
                    assert key.value in logs.FIELDS, f"{place}: {key.value} is not a listed field"
