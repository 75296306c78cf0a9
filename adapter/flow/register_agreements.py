"""The register's own agreements for one tenant: asked when needed, kept for twelve hours, and on disk for worse days.

Found answers are good for ``cache_h`` hours; while the register is away the last good one serves on (HISD 1177 chapter
8). That there is none is believed for a shorter time, so that a new agreement is noticed.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from adapter.ebxml.agreement import Agreement
from adapter.ebxml.cpa import read_agreement
from adapter.errors import AdapterError, Fault, NotFoundError
from adapter.model.wire import Clock

KEPT = "register"  # the folder, beside the files, for what the register gave
ASK_AGAIN = timedelta(minutes=5)  # after a register that did not answer
NONE_THERE, NO_SUCH = timedelta(hours=1), timedelta(minutes=1)
MOST_UNKNOWN = 20  # ids that the register denied, in a minute
_MOST = 20_000
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")  # the register's ids; NAV's are others


class AgreementService(Protocol):
    """The register's REST service. Both give the CPA's octets; NotFoundError when there is none."""

    def agreement(self, cpa_id: str) -> bytes: ...
    def agreement_between(self, ours: int, partner: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Answer:
    """``agreement`` None: there is none. ``until``: asked again afterwards."""

    agreement: Agreement | None
    until: datetime


class RegisterAgreements:
    """Look-ups with a cache; threads may share it. ``folder`` None: nothing is kept on disk."""

    def __init__(
        self, service: AgreementService, *, clock: Clock, cache_h: float = 12.0, folder: Path | None = None
    ) -> None:
        self._service = service
        self._clock = clock
        self._cache = timedelta(hours=cache_h)
        self._folder = folder
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Answer] = OrderedDict()
        self._away_until = _LONG_AGO
        self._unknown: deque[datetime] = deque(maxlen=MOST_UNKNOWN)
        self.problem: AdapterError | None = None  # why the register, or its folder, is not in use just now
        self._load()

    def by_id(self, cpa_id: str) -> Agreement | None:
        """None: it is no id of the register's, or the register is away. Raises NotFoundError when it knows none."""
        if not _UUID.fullmatch(cpa_id):
            return None
        name = cpa_id.lower()
        if self._is_guessed(f"id {name}"):
            return None
        answer = self._ask(f"id {name}", lambda: self._service.agreement(name), NO_SUCH)
        if answer is None:
            return None
        if answer.agreement is None:
            self._unknown.append(self._clock())
            raise NotFoundError("the register has no such agreement", code="CPA.UNKNOWN")
        return answer.agreement

    def _is_guessed(self, key: str) -> bool:
        """True while too many ids turn out unknown: a stranger's messages must not become questions to the register."""
        with self._lock:
            if key in self._kept or len(self._unknown) < MOST_UNKNOWN:
                return False
            return self._clock() - self._unknown[0] < NO_SUCH

    def between(self, ours: int, partner: int) -> Agreement | None:
        """The newest agreement of the two HER-ids; None when there is none, or the register is away."""
        answer = self._ask(_pair(ours, partner), lambda: self._service.agreement_between(ours, partner), NONE_THERE)
        return answer.agreement if answer is not None else None

    def is_replaced(self, agreement: Agreement) -> bool:
        """True when the register has a newer one between the same two parties."""
        ours = [party.her_id for party in agreement.parties]
        if len(ours) != 2 or ours[0] is None or ours[1] is None:
            return False
        newest = self.between(ours[0], ours[1])
        return newest is not None and newest.id != agreement.id

    def _ask(self, key: str, ask: Callable[[], bytes], none_for: timedelta) -> _Answer | None:
        now = self._clock()
        with self._lock:
            known = self._kept.get(key)
        if known is not None and now < known.until:
            return known
        # While it is away it is not asked at every message; a stale agreement is better than none.
        stale = known if known is not None and known.agreement is not None else None
        if now < self._away_until:
            return stale
        try:
            content = ask()
            agreement = read_agreement(content)
            self.problem = None
        except NotFoundError:
            self.problem = None
            return self._keep(key, _Answer(None, now + none_for))
        except AdapterError as error:
            self.problem = error
            self._away_until = now + ASK_AGAIN
            return stale
        self._write(agreement.id, content)
        answer = _Answer(agreement, now + self._cache)
        for other in _keys(agreement) if key.startswith("pair") else [key]:
            self._keep(other, answer)
        return answer

    def _keep(self, key: str, answer: _Answer) -> _Answer:
        with self._lock:
            self._kept[key] = answer
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST:
                self._kept.popitem(last=False)
        return answer

    # -- on disk -----------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        """What an earlier process was given: stale, so the register is asked first."""
        found = sorted(self._folder.glob("*.xml")) if self._folder is not None else []
        for path in sorted(found, key=_written):
            try:
                agreement = read_agreement(path.read_bytes())
            except (AdapterError, OSError):
                continue  # it is fetched again when it is needed
            for key in _keys(agreement):
                self._keep(key, _Answer(agreement, _LONG_AGO))

    def _write(self, name: str, content: bytes) -> None:
        """Whole or not at all, and readable by us alone; a full disk stops no message."""
        if self._folder is None:
            return
        file = self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.xml"
        part = file.with_suffix(".part")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
                target.write(content)
            os.replace(part, file)
        except OSError:
            self.problem = _Unkept("an agreement of the register cannot be kept on disk", where=self._folder.name)


class _Unkept(AdapterError):
    code = "CPA.FOLDER"
    fault = Fault.WORLD


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _pair(one: int, other: int) -> str:
    return f"pair {min(one, other)} {max(one, other)}"


def _keys(agreement: Agreement) -> Iterator[str]:
    yield f"id {agreement.id.lower()}"
    her_ids = [party.her_id for party in agreement.parties]
    if len(her_ids) == 2 and her_ids[0] is not None and her_ids[1] is not None:
        yield _pair(her_ids[0], her_ids[1])


def folder_of(directory: Path | None, tenant: str) -> Path | None:
    """A tenant's own folder of kept agreements (P23)."""
    if directory is None:
        return None
    plain = re.sub(r"[^A-Za-z0-9]", "-", tenant)[:40]
    return directory / KEPT / f"{plain}-{hashlib.sha256(tenant.encode()).hexdigest()[:8]}"
