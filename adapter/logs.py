"""Structured logs that cannot carry personal data (P21).

A record is a constant text and fields. Texts are written as they stand in the source: arguments are never put into
them. A field passes only when its name is in ``FIELDS`` and its value has the form that stands there; everything else
is dropped and its number counted in ``dropped``. Of an exception only the class, the stable code and the place in the
source remain. Other libraries' records lose their text: logger, level and place are kept.

    log = logging.getLogger(__name__)
    log.info("message sent", extra={"message_id": msg_id, "delivery_id": 7})
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TextIO

from adapter.errors import AdapterError
from adapter.model.delivery import Answer, Leg, Outcome, Step

STATES = frozenset(word.value for words in (Leg, Answer, Step, Outcome) for word in words)
WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,60}")  # an event, a class, a type of message: one word, so no full name
STATE = re.compile("|".join(re.escape(word) for word in sorted(STATES)))
CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,40}")
INCIDENT = re.compile(r"[a-z][a-z ]{0,30}(:[A-Za-z0-9_.:-]{1,80})?")  # what: of which row, tenant or job
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
HOST = re.compile(r"[A-Za-z0-9.-]{1,100}(:[0-9]{1,5})?")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{5,15}(Z|[+-][0-9:]{4,6})?")
HER_ID = re.compile(r"[0-9]{1,10}")
PERSON_NUMBER = re.compile(r"(?<![0-9A-Fa-f])[0-9]{6}[ ]?[0-9]{5}(?![0-9A-Fa-f])")
LONGEST_NUMBER = 10_000_000_000  # eleven digits could be a person's number

# name -> form of a text value; None: numbers and truth values only.
FIELDS: dict[str, re.Pattern[str] | None] = {
    # what it is about
    "message_id": UUID,
    "remote_id": UUID,
    "request_id": UUID,
    "receipt_id": UUID,
    "conversation_id": UUID,
    "delivery_id": UUID,
    "delivery": UUID,
    "event_id": HER_ID,
    "her_id": HER_ID,
    "sender": HER_ID,
    "receiver": HER_ID,
    "msg_type": WORD,
    "kind": WORD,
    "tenant": CODE,
    "environment": WORD,
    # what happened
    "event": WORD,
    "incident": INCIDENT,
    "leg": STATE,
    "answer": STATE,
    "step": STATE,
    "state": STATE,
    "old": STATE,
    "new": STATE,
    "verdict": WORD,
    "outcome": STATE,
    "status": WORD,
    "rule": CODE,
    "code": CODE,
    "apprec": CODE,
    "fault": WORD,
    "again": WORD,
    "error": WORD,
    "road": CODE,
    "operation": WORD,
    "host": HOST,
    "job": CODE,
    "jobs": None,
    "clean": None,
    "key": CODE,
    "version": CODE,
    "due_at": TIME,
    "valid_to": TIME,
    "emergency": None,
    # how much
    "http_status": None,
    "remote_code": None,
    "attempts": None,
    "count": None,
    "receivers": None,
    "size_bytes": None,
    "free_bytes": None,
    "duration_ms": None,
    "wait_s": None,
    "age_s": None,
    "days_left": None,
    "exit_code": None,
}

# What every LogRecord has by itself; all else on a record came in through ``extra``.
_BORN_WITH = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# Loggers that show content or addresses at DEBUG: never below these levels, whatever ours is.
PINNED: dict[str, int] = {
    "signxml": logging.WARNING,
    "urllib3": logging.WARNING,
    "requests": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "alembic": logging.WARNING,
    "apscheduler": logging.WARNING,
    "xmlschema": logging.WARNING,
    "joserfc": logging.WARNING,
    "asyncio": logging.WARNING,
}


def safe_fields(given: Mapping[str, object]) -> dict[str, object]:
    """The fields that may be written, in the order given; ``dropped`` counts the others."""
    kept: dict[str, object] = {}
    dropped = 0
    for name, value in given.items():
        if value is None:
            continue
        if name in FIELDS and _allowed(FIELDS[name], value):
            kept[name] = value
        else:
            dropped += 1
    if dropped:
        kept["dropped"] = dropped
    return kept


def _allowed(form: re.Pattern[str] | None, value: object) -> bool:
    if isinstance(value, bool | float):
        return True
    if isinstance(value, int):
        return -LONGEST_NUMBER < value < LONGEST_NUMBER
    if form is None or not isinstance(value, str):
        return False
    return form.fullmatch(value) is not None and PERSON_NUMBER.search(value) is None


class _Base(logging.Formatter):
    """Turns a record into safe facts; the two subclasses write them down."""

    def facts(self, record: logging.LogRecord) -> dict[str, object]:
        ours = record.name.split(".")[0] == "adapter"
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        out: dict[str, object] = {
            "at": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            # A third party's text may quote content even unformatted, so only its place is told.
            "text": str(record.msg) if ours else "a library reports",
        }
        if not ours:
            out["place"] = f"{Path(record.pathname).name}:{record.lineno}"
        out |= safe_fields({key: value for key, value in vars(record).items() if key not in _BORN_WITH} if ours else {})
        if record.exc_info and record.exc_info[1] is not None:
            out["exception"] = describe(record.exc_info[1])
        return out


class JsonFormatter(_Base):
    """One JSON object a line: at, level, logger, text, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.facts(record), ensure_ascii=False)


class TextFormatter(_Base):
    """For people: time, level, text, then ``name=value`` pairs."""

    def format(self, record: logging.LogRecord) -> str:
        facts = self.facts(record)
        head = f"{facts.pop('at')} {facts.pop('level'):7} {facts.pop('text')}"
        facts.pop("logger")
        tail = " ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in facts.items())
        return f"{head} {tail}".rstrip()


def describe(error: BaseException) -> dict[str, object]:
    """Class, stable code and place of an exception and of what caused it. Never its text: it may quote content."""
    out: dict[str, object] = {"error": type(error).__name__, "places": _places(error.__traceback__)}
    if isinstance(error, AdapterError):
        out["code"] = error.code
        out["fault"] = error.fault.value
    if error.__cause__ is not None:
        out["cause"] = describe(error.__cause__)
    return out


def _places(trace: TracebackType | None, most: int = 8) -> list[str]:
    return [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in traceback.extract_tb(trace)[-most:]]


def configure(*, form: str = "json", level: int | str = logging.INFO, stream: TextIO | None = None) -> None:
    """Send all logs to ``stream`` (default stderr) as ``form`` = "json" or "text". Can be called again."""
    wanted = stream or sys.stderr
    sink = logging.StreamHandler(wanted)
    sink.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [sink]
    root.setLevel(logging.WARNING)
    logging.getLogger("adapter").setLevel(level)
    for name, lowest in PINNED.items():
        logging.getLogger(name).setLevel(lowest)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a failing log line must not print the record
