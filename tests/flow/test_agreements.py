"""The agreements in force: files of a folder, the register's service, and what keeps one from being used."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapter.errors import NotFoundError, TransportError
from adapter.flow import register_agreements
from adapter.flow.agreements import Agreements, Held, Standing
from adapter.flow.register_agreements import KEPT, MOST_UNKNOWN, RegisterAgreements, folder_of
from tests.ebxml.agreed import Cpa, Side

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
US, THEM = 8091301, 79768
CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "ebxml" / "cpa"
OURS = Side(her_id=US, role="Sykmelder", sends=["Henvendelse"], receives=["Bekreftelse"])
NAV = Side(her_id=THEM, role="Saksbehandler", sends=["Bekreftelse"], receives=["Henvendelse"])
BASE = Cpa(one=OURS, other=NAV, service="HenvendelseFraLege")
UUID = "4d9a222f-5076-4221-8668-438277d2cf8a"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cpa").mkdir()
    return tmp_path / "cpa"


def write(folder: Path, name: str, content: bytes) -> None:
    """A file whose stamp is new even where the clock of the disk is coarse."""
    file = folder / name
    number = file.stat().st_mtime_ns + 1_000_000_000 if file.exists() else 1_000_000_000
    file.write_bytes(content)
    os.utime(file, ns=(number, number))


def ids(found: list[Held]) -> list[str]:
    return [one.agreement.id for one in found]


def test_every_file_is_read_and_found_by_its_id_and_by_its_two_parties(folder: Path, clock: Clock) -> None:
    write(folder, "a.xml", BASE.text())
    write(folder, "b.xml", replace(BASE, cpa_id="nav:test:2", other=replace(NAV, her_id=80002)).text())
    port = Agreements(folder, clock=clock)
    found = port.by_id("nav:test:1")
    assert found is not None
    assert (found.source, found.name, found.standing) == ("file", "a.xml", Standing.VALID)
    assert ids(list(port.between(US, THEM))) == ids(list(port.between(THEM, US))) == ["nav:test:1"]
    assert port.by_id("nav:test:9") is None
    assert ids(list(port.all())) == ["nav:test:1", "nav:test:2"]
    assert port.problems() == {}


def test_of_several_between_two_parties_the_newest_comes_first(folder: Path, clock: Clock) -> None:
    write(folder, "old.xml", replace(BASE, cpa_id="old", start=datetime(2020, 1, 1, tzinfo=UTC)).text())
    write(folder, "new.xml", replace(BASE, cpa_id="new").text())
    assert ids(list(Agreements(folder, clock=clock).between(US, THEM))) == ["new", "old"]


def test_a_broken_file_is_a_problem_and_stops_no_other(folder: Path, clock: Clock) -> None:
    write(folder, "a.xml", BASE.text())
    write(folder, "bad.xml", b"<not an agreement")
    write(folder, "odd.xml", b"<other/>")
    port = Agreements(folder, clock=clock)
    assert port.by_id("nav:test:1") is not None
    assert set(port.problems()) == {"agreement bad.xml", "agreement odd.xml"}
    assert port.problems()["agreement odd.xml"] == "CPA.KIND"


def test_a_good_agreement_stays_in_force_when_its_file_breaks_and_until_it_is_mended(
    folder: Path, clock: Clock
) -> None:
    write(folder, "a.xml", BASE.text())
    port = Agreements(folder, clock=clock)
    assert port.by_id("nav:test:1") is not None
    write(folder, "a.xml", BASE.text()[:900])
    clock.advance(seconds=10)
    assert port.by_id("nav:test:1") is not None
    assert list(port.problems()) == ["agreement a.xml"]
    write(folder, "a.xml", replace(BASE, retries=7).text())
    clock.advance(seconds=10)
    found = port.by_id("nav:test:1")
    assert found is not None
    assert {channel.retries for channel in found.agreement.parties[0].channels.values()} == {7}
    assert port.problems() == {}


def test_a_new_file_is_seen_at_once_and_a_file_that_is_taken_away_is_gone(folder: Path, clock: Clock) -> None:
    port = Agreements(folder, clock=clock)
    assert port.by_id("nav:test:1") is None
    write(folder, "a.xml", BASE.text())
    os.utime(folder, ns=(5, 5_000_000_000))
    assert port.by_id("nav:test:1") is not None
    (folder / "a.xml").unlink()
    os.utime(folder, ns=(6, 6_000_000_000))
    assert port.by_id("nav:test:1") is None


def test_all_files_are_read_again_after_the_hours_of_refresh_even_when_none_looks_changed(
    folder: Path, clock: Clock
) -> None:
    write(folder, "a.xml", BASE.text())
    port = Agreements(folder, clock=clock, refresh_h=12)
    assert port.by_id("nav:test:1") is not None
    stamp = (folder / "a.xml").stat().st_mtime_ns
    (folder / "a.xml").write_bytes(replace(BASE, cpa_id="nav:test:7").text())
    os.utime(folder / "a.xml", ns=(stamp, stamp))
    clock.advance(hours=11)
    assert port.by_id("nav:test:7") is None
    clock.advance(hours=1)
    assert port.by_id("nav:test:7") is not None


def test_a_folder_that_goes_away_leaves_what_was_read_in_force(folder: Path, clock: Clock) -> None:
    write(folder, "a.xml", BASE.text())
    port = Agreements(folder, clock=clock)
    assert port.by_id("nav:test:1") is not None
    folder.rename(folder.with_name("elsewhere"))
    clock.advance(hours=24)
    assert port.by_id("nav:test:1") is not None
    assert port.problems() == {"agreements": "CPA.FOLDER"}


def test_of_two_editions_with_one_id_the_later_counts_and_the_other_is_a_problem(folder: Path, clock: Clock) -> None:
    write(folder, "1.xml", replace(BASE, start=datetime(2026, 6, 1, tzinfo=UTC), retries=2).text())
    write(folder, "2.xml", BASE.text())
    write(folder, "3.xml", replace(BASE, start=datetime(2026, 6, 1, tzinfo=UTC), retries=2).text())
    port = Agreements(folder, clock=clock)
    found = port.by_id("nav:test:1")
    assert found is not None
    assert {channel.retries for channel in found.agreement.parties[0].channels.values()} == {2}
    assert port.problems() == {"agreement 2.xml": "CPA.TWICE"}


def test_a_profile_is_no_agreement(folder: Path, clock: Clock) -> None:
    profile = BASE.text().replace(b"CollaborationProtocolAgreement", b"CollaborationProtocolProfile")
    write(folder, "cpp.xml", profile)
    port = Agreements(folder, clock=clock)
    assert list(port.all()) == []
    assert port.problems() == {"agreement cpp.xml": "CPA.PROFILE"}


@pytest.mark.parametrize(
    ("standing", "sends", "receives"),
    [
        (Standing.PROPOSED, False, False),
        (Standing.VALID, True, True),
        (Standing.REVOKED, False, False),
        (Standing.ENDED, False, False),
        (Standing.REPLACED, False, True),
    ],
)
def test_the_registers_status_says_who_sends_and_who_receives(standing: Standing, sends: bool, receives: bool) -> None:
    from adapter.ebxml.cpa import read_agreement

    held = Held(agreement=read_agreement(BASE.text()), source="register", name="x", standing=standing)
    assert (held.sends_at(NOW), held.receives_at(NOW)) == (sends, receives)
    later = datetime(2040, 1, 1, tzinfo=UTC)
    assert (held.sends_at(later), held.receives_at(later)) == (False, False)


@pytest.mark.skipif(not CORPUS.exists(), reason="the shared corpus is not here")
def test_a_real_agreement_of_nav_is_found_by_its_parties(clock: Clock) -> None:
    port = Agreements(CORPUS, clock=clock)
    assert ids(list(port.between(8141253, 79768))) == ["nav:qass:35065"]
    held = port.by_id("nav:qass:35065")
    assert held is not None
    assert held.sends_at(NOW)
    assert not held.sends_at(datetime(2028, 1, 3, tzinfo=UTC))


# --- the register's service -------------------------------------------------------------------------------------------


class Service:
    """A register that answers by what is in ``content`` (by id), and counts what it is asked."""

    def __init__(self, *content: bytes) -> None:
        from adapter.ebxml.cpa import read_agreement

        self.by_id = {read_agreement(one).id: one for one in content}
        self.newest = content[-1] if content else None
        self.asked: list[str] = []
        self.away = False

    def agreement(self, cpa_id: str) -> bytes:
        return self._give(cpa_id, self.by_id.get(cpa_id))

    def agreement_between(self, ours: int, partner: int) -> bytes:
        return self._give(f"{ours}/{partner}", self.newest)

    def _give(self, what: str, found: bytes | None) -> bytes:
        self.asked.append(what)
        if self.away:
            raise TransportError("away")
        if found is None:
            raise NotFoundError("none")
        return found


OTHER = UUID.replace("4d", "5e")
REGISTERED = replace(BASE, cpa_id=UUID).text()
OLDER = replace(BASE, cpa_id=OTHER, start=datetime(2020, 1, 1, tzinfo=UTC)).text()


@pytest.fixture
def made(clock: Clock, folder: Path) -> Callable[[Service], Agreements]:
    def make(service: Service) -> Agreements:
        kept = RegisterAgreements(service, clock=clock, folder=folder_of(folder, "solvang"))
        return Agreements(folder, clock=clock, registers={"solvang": kept})

    return make


def test_what_no_file_knows_the_register_is_asked_for_and_its_answer_is_good_for_twelve_hours(
    made: Callable[[Service], Agreements], clock: Clock
) -> None:
    service = Service(REGISTERED)
    port = made(service)
    for _ in range(3):
        assert ids(list(port.between(US, THEM, tenant="solvang"))) == [UUID]
        assert port.by_id(UUID, tenant="solvang") is not None
    assert service.asked == [f"{US}/{THEM}"]
    clock.advance(hours=12)
    assert port.by_id(UUID, tenant="solvang") is not None
    assert service.asked[1] == UUID


def test_only_a_tenants_own_register_is_asked(made: Callable[[Service], Agreements]) -> None:
    service = Service(REGISTERED)
    assert made(service).by_id(UUID, tenant="another") is None
    assert list(made(service).between(US, THEM)) == []
    assert service.asked == []


def test_an_id_that_the_register_denies_is_unknown_and_ids_of_others_are_not_asked_for(
    made: Callable[[Service], Agreements],
) -> None:
    service = Service()
    port = made(service)
    assert port.by_id("nav:35065", tenant="solvang") is None
    assert port.by_id("79768_80225", tenant="solvang") is None
    assert service.asked == []
    with pytest.raises(NotFoundError) as caught:
        port.by_id(UUID, tenant="solvang")
    assert caught.value.code == "CPA.UNKNOWN"


def test_p20_guessed_ids_do_not_become_questions_to_the_register_without_end(
    made: Callable[[Service], Agreements], clock: Clock
) -> None:
    service = Service(REGISTERED)
    port = made(service)
    denied = 0
    for number in range(100):
        try:
            assert port.by_id(f"{number:08x}-0000-4000-8000-000000000000", tenant="solvang") is None
        except NotFoundError:
            denied += 1
    assert (denied, len(service.asked)) == (MOST_UNKNOWN, MOST_UNKNOWN)
    clock.advance(minutes=2)
    assert port.by_id(UUID, tenant="solvang") is not None


def test_an_agreement_that_another_has_replaced_is_received_under_and_not_sent_under(
    made: Callable[[Service], Agreements],
) -> None:
    port = made(Service(OLDER, REGISTERED))
    found = port.by_id(OTHER, tenant="solvang")
    assert found is not None
    assert (found.standing, found.sends_at(NOW), found.receives_at(NOW)) == (Standing.REPLACED, False, True)


def test_while_the_register_is_away_the_last_answer_serves_and_it_is_not_asked_at_every_message(
    made: Callable[[Service], Agreements], clock: Clock
) -> None:
    service = Service(REGISTERED)
    port = made(service)
    assert port.by_id(UUID, tenant="solvang") is not None
    service.away = True
    clock.advance(hours=13)
    for _ in range(5):
        assert port.by_id(UUID, tenant="solvang") is not None
        assert port.by_id(OTHER, tenant="solvang") is None, "nobody can say"
    assert len(service.asked) == 3, "by id, for the newest of the pair, and once while it is away"
    assert port.problems() == {"agreement register of solvang": "TRANSPORT"}
    service.away = False
    clock.advance(minutes=6)
    assert port.by_id(UUID, tenant="solvang") is not None
    assert port.problems() == {}


def test_what_the_register_gave_is_on_disk_for_the_next_process_readable_by_us_alone(
    made: Callable[[Service], Agreements], folder: Path
) -> None:
    assert made(Service(REGISTERED)).by_id(UUID, tenant="solvang") is not None
    (file,) = (folder / KEPT).rglob("*.xml")
    assert file.stat().st_mode & 0o077 == 0
    service = Service()
    service.away = True
    assert made(service).by_id(UUID, tenant="solvang") is not None
    assert service.asked == [UUID], "asked first: what lies there may be old"


def test_an_answer_that_is_no_agreement_is_a_problem_and_not_believed(
    made: Callable[[Service], Agreements],
) -> None:
    service = Service()
    service.by_id[UUID] = b"<html/>"
    port = made(service)
    assert port.by_id(UUID, tenant="solvang") is None
    assert list(port.problems().values()) == ["CPA.KIND"]


def test_p20_a_guessed_flood_does_not_hide_an_agreement_that_is_known(
    made: Callable[[Service], Agreements], clock: Clock
) -> None:
    service = Service(REGISTERED)
    port = made(service)
    assert port.by_id(UUID, tenant="solvang") is not None
    for number in range(MOST_UNKNOWN + 5):
        with suppress(NotFoundError):
            port.by_id(f"{number:08x}-0000-4000-8000-000000000000", tenant="solvang")
    asked = len(service.asked)
    assert port.by_id(UUID, tenant="solvang") is not None
    assert port.by_id(OTHER, tenant="solvang") is None, "not asked for while the flood lasts"
    assert len(service.asked) == asked


def test_that_there_is_no_agreement_between_two_is_believed_for_an_hour(
    made: Callable[[Service], Agreements], clock: Clock
) -> None:
    service = Service()
    port = made(service)
    for _ in range(3):
        assert list(port.between(US, THEM, tenant="solvang")) == []
    assert len(service.asked) == 1
    clock.advance(hours=1)
    service.newest = REGISTERED
    assert ids(list(port.between(US, THEM, tenant="solvang"))) == [UUID]


def test_a_damaged_kept_agreement_is_fetched_anew_and_stops_no_other(
    made: Callable[[Service], Agreements], folder: Path
) -> None:
    assert made(Service(REGISTERED)).by_id(UUID, tenant="solvang") is not None
    (file,) = (folder / KEPT).rglob("*.xml")
    (file.parent / "00-broken.xml").write_bytes(b"<half of an agree")
    (file.parent / "01-gone.xml").symlink_to(file.parent / "nowhere")
    service = Service()
    service.away = True
    assert made(service).by_id(UUID, tenant="solvang") is not None


def test_a_folder_that_takes_nothing_is_a_problem_and_stops_no_message(
    made: Callable[[Service], Agreements], folder: Path
) -> None:
    (folder / KEPT).write_bytes(b"a file in the folder's place")
    port = made(Service(REGISTERED))
    assert port.by_id(UUID, tenant="solvang") is not None
    assert port.problems() == {"agreement register of solvang": "CPA.FOLDER"}


def test_without_a_folder_the_registers_agreements_are_kept_in_memory_alone(clock: Clock, tmp_path: Path) -> None:
    service = Service(REGISTERED)
    kept = RegisterAgreements(service, clock=clock, folder=folder_of(None, "solvang"))
    assert [kept.by_id(UUID) is not None for _ in range(2)] == [True, True]
    assert (service.asked, kept.problem, list(tmp_path.iterdir())) == ([UUID], None, [])


def test_what_is_kept_in_memory_has_a_bound_and_the_oldest_goes_first(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register_agreements, "_MOST", 2)
    service = Service(REGISTERED, OLDER)
    kept = RegisterAgreements(service, clock=clock)
    for asked in (UUID, OTHER, OTHER, UUID):
        assert kept.by_id(asked) is not None
    assert service.asked == [UUID, OTHER]
    for number in (1, 2):
        assert kept.between(US, THEM + number) is not None  # known under its own parties as well
    assert kept.by_id(UUID) is not None
    assert service.asked[-1] == UUID


def test_p23_tenants_whose_names_look_alike_have_folders_of_their_own(tmp_path: Path) -> None:
    one, other = folder_of(tmp_path, "nord/sør"), folder_of(tmp_path, "nord-s.r")
    assert one is not None
    assert other is not None
    assert one != other
    assert one.parent == other.parent == tmp_path / KEPT


def test_an_agreement_whose_parties_have_no_her_ids_is_found_by_its_id_alone(
    made: Callable[[Service], Agreements],
) -> None:
    service = Service(REGISTERED)
    service.by_id[UUID] = REGISTERED.replace(f't:type="HER">{THEM}'.encode(), b't:type="ENH">889640782')
    port = made(service)
    found = port.by_id(UUID, tenant="solvang")
    assert found is not None
    assert (found.standing, service.asked) == (Standing.VALID, [UUID])
