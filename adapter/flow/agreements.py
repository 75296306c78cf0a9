"""The agreements in force: CPA files of a folder, and the register's own agreements where its service is set up.

Files are read again when one changes, and all of them at least every ``refresh_h`` hours. A broken file is a problem by
its name: it stops no other, and a good one that was read earlier stays in force until a good one takes its place.
What the register gave is good for as long, is kept on disk beside the files, and serves on while the register is away
(HISD 1177 chapter 8). Validity is judged by the time of use: now, never by a message's own time stamp.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from adapter.ebxml.agreement import Agreement
from adapter.ebxml.cpa import read_agreement
from adapter.ebxml.words import PartyId
from adapter.errors import AdapterError, SettingsError
from adapter.flow.register_agreements import RegisterAgreements
from adapter.model.wire import Clock

LOOK_AGAIN_S = 5.0  # files are looked at no oftener; their folder is, each time
_MOST_FILES = 20_000
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Standing(IntEnum):
    """The register's status of an agreement (HISD 1177 6.2). Sent with: VALID; received with: VALID or REPLACED."""

    PROPOSED = 1
    VALID = 2
    REVOKED = 3
    ENDED = 4
    REPLACED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An agreement and where it is from: ``source`` "file" or "register", ``name`` the file's name or the CPA id."""

    agreement: Agreement
    source: str
    name: str
    standing: Standing = Standing.VALID

    def receives_at(self, when: datetime) -> bool:
        """True when a message may be taken under it: status 2 or 5, and within its period (HISD 1177 7.1)."""
        return self.standing in (Standing.VALID, Standing.REPLACED) and self.agreement.valid_at(when)

    def sends_at(self, when: datetime) -> bool:
        """True when a message may be sent under it: status 2, and within its period (HISD 1177 6.2)."""
        return self.standing is Standing.VALID and self.agreement.valid_at(when)


class AgreementPort(Protocol):
    """What the journeys ask. Without a folder and a register there is no port, and nothing of this is judged."""

    def by_id(self, cpa_id: str, *, tenant: str | None = None) -> Held | None:
        """The agreement; None when nobody can say. Raises NotFoundError (CPA.UNKNOWN) when the register says no."""
        ...

    def between(self, ours: int, partner: int, *, tenant: str | None = None) -> Sequence[Held]:
        """All agreements of two HER-ids, newest first, whatever their period."""
        ...

    def all(self) -> Sequence[Held]:
        """Every agreement that is held, by its id."""
        ...

    def problems(self) -> Mapping[str, str]:
        """Name of a file, or of the register's service, -> stable code of what keeps it from being used."""
        ...


@dataclass(frozen=True, slots=True)
class _Read:
    """A file as it was read last: its stamp, and the newest good agreement that it has held."""

    stamp: tuple[int, int]
    held: Held | None
    problem: str | None


class Agreements:
    """The port over a folder and the register's services by tenant. Threads may share it."""

    def __init__(
        self,
        directory: Path | None,
        *,
        clock: Clock,
        refresh_h: float = 12.0,
        registers: Mapping[str, RegisterAgreements] | None = None,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._refresh = timedelta(hours=refresh_h)
        self._registers = registers or {}
        self._lock = threading.Lock()
        self._files: dict[str, _Read] = {}
        self._folder_stamp: int | None = None
        self._looked_at = self._read_at = _LONG_AGO
        self._by_id: dict[str, Held] = {}
        self._by_pair: dict[frozenset[str], list[Held]] = {}
        self._folder_problem: str | None = None

    def by_id(self, cpa_id: str, *, tenant: str | None = None) -> Held | None:
        with self._lock:
            self._look()
            found = self._by_id.get(cpa_id)
        register = self._registers.get(tenant or "")
        if found is not None or register is None:
            return found
        return _from_register(register.by_id(cpa_id), register)

    def between(self, ours: int, partner: int, *, tenant: str | None = None) -> Sequence[Held]:
        with self._lock:
            self._look()
            found = list(self._by_pair.get(frozenset((str(ours), str(partner))), ()))
        register = self._registers.get(tenant or "")
        newest = register.between(ours, partner) if register is not None else None
        if newest is not None and all(newest.id != one.agreement.id for one in found):
            found.append(Held(agreement=newest, source="register", name=newest.id))
        return sorted(found, key=_age)

    def all(self) -> Sequence[Held]:
        with self._lock:
            self._look()
            return [self._by_id[name] for name in sorted(self._by_id)]

    def problems(self) -> Mapping[str, str]:
        with self._lock:
            self._look()
            found = {f"agreement {name}": read.problem for name, read in self._files.items() if read.problem}
            if self._folder_problem is not None:
                found["agreements"] = self._folder_problem
        for tenant, register in self._registers.items():
            if register.problem is not None:
                found[f"agreement register of {tenant}"] = register.problem.code
        return found

    # -- the folder --------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Read what is new. Asking the folder alone is cheap; its files are asked only now and then."""
        if self._directory is None:
            return
        now = self._clock()
        try:
            stamp = self._directory.stat().st_mtime_ns
        except OSError:
            self._folder_problem = "CPA.FOLDER"  # what was read before stays in force
            return
        again = now - self._looked_at >= timedelta(seconds=LOOK_AGAIN_S) or now < self._looked_at
        if stamp == self._folder_stamp and not again:
            return
        whole = now - self._read_at >= self._refresh or now < self._read_at
        self._folder_problem, self._folder_stamp, self._looked_at = None, stamp, now
        if self._read_files(whole):
            self._index()
        if whole:
            self._read_at = now

    def _read_files(self, whole: bool) -> bool:
        """True when anything changed. A file that is gone is an agreement that is gone."""
        assert self._directory is not None
        seen: dict[str, _Read] = {}
        for path, stamp in _stamps(self._directory):
            known = self._files.get(path.name)
            if known is not None and known.stamp == stamp and not whole:
                seen[path.name] = known
            else:
                seen[path.name] = _read(path, stamp, known)
        changed = seen != self._files
        self._files = seen
        return changed

    def _index(self) -> None:
        self._by_id, self._by_pair = {}, {}
        for name, read in self._files.items():
            held = read.held
            if held is None:
                continue
            other = self._by_id.get(held.agreement.id)
            if other is not None and other.agreement != held.agreement:  # two editions: the later one counts
                older = max(held, other, key=_age)
                late = other.name if older is other else name
                self._files[late] = replace(self._files[late], problem="CPA.TWICE")
                held = other if older is held else held
            self._by_id[held.agreement.id] = held
        for held in self._by_id.values():
            for pair in _pairs(held.agreement):
                self._by_pair.setdefault(pair, []).append(held)


def _from_register(agreement: Agreement | None, register: RegisterAgreements) -> Held | None:
    """Status 5 for one that the register knows by its id, and that another has replaced between the two parties."""
    if agreement is None:
        return None
    replaced = register.is_replaced(agreement)
    standing = Standing.REPLACED if replaced else Standing.VALID
    return Held(agreement=agreement, source="register", name=agreement.id, standing=standing)


def _stamps(directory: Path) -> Iterator[tuple[Path, tuple[int, int]]]:
    found = sorted(directory.glob("*.xml"))[:_MOST_FILES]
    for path in found:
        try:
            stat = path.stat()
        except OSError:
            continue  # it has gone since
        yield path, (stat.st_mtime_ns, stat.st_size)


def _read(path: Path, stamp: tuple[int, int], known: _Read | None) -> _Read:
    earlier = known.held if known is not None else None
    try:
        agreement = read_agreement(path.read_bytes())
        if agreement.profile:
            raise SettingsError("a profile (CPP) is no agreement", code="CPA.PROFILE", where=path.name)
    except AdapterError as error:
        return _Read(stamp, earlier, error.code)
    except OSError:
        return _Read(stamp, earlier, "CPA.FILE")
    return _Read(stamp, Held(agreement=agreement, source="file", name=path.name), None)


def _age(held: Held) -> tuple[float, str]:
    """Newest first, by the beginning of the period; the id keeps the order stable."""
    start = held.agreement.start
    return (-start.timestamp() if start is not None else 0.0, held.agreement.id)


def _pairs(agreement: Agreement) -> Iterable[frozenset[str]]:
    if len(agreement.parties) != 2:
        return ()
    one, other = agreement.parties
    left = [found.value for found in one.ids if found.type == "HER"]
    right = [found.value for found in other.ids if found.type == "HER"]
    return {frozenset((a, b)) for a in left for b in right}


def ids_of(*her_ids: int) -> tuple[PartyId, ...]:
    """HER-ids as an agreement names a party by one of them."""
    return tuple(PartyId(str(her_id)) for her_id in her_ids)
