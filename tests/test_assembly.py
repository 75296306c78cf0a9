"""Wiring: what refuses to start together, what a caller may not do, and what no output may show."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapter import logs
from adapter.assembly import Adapter, open_adapter
from adapter.config import read_settings
from adapter.errors import AdapterError, InputError, NotFoundError, RefusedError, SettingsError, StoreError
from adapter.flow.handover import Taken
from adapter.model.partner import AddressBook
from adapter.simulator import world as place
from adapter.transport.memory import MemoryServer
from tests.journeys.conftest import make_rig, rig
from tests.journeys.rig import Rig, letter, referral

__all__ = ["make_rig", "rig"]
MakeRig = Callable[..., Rig]
US = place.SOLVANG_GP
NUMBER, NAME = "12057900565", "Zebrafink"
ID = "aaaaaaaa-0000-4000-8000-000000000001"


def plain_settings(environment: str = "test", **more: Any) -> dict[str, Any]:
    words = ("fagsystem", "mellomvare", "msh")
    software = {name: "x" for word in words for name in (word, f"{word}_version")}
    tenant = {"name": "t", "organisation_number": "310045101", "her_ids": [US]}
    return {
        "environment": environment,
        "software": software,
        "tenant": [tenant],
        "store": {"low_water_bytes": 0},
        **more,
    }


def book_file(folder: Path, rig: Rig, environment: str) -> None:
    book = json.loads((rig.folder / "addressbook.json").read_text())
    (folder / "addressbook.json").write_text(json.dumps({**book, "environment": environment}))


# -- P22: environments ---------------------------------------------------------------------------------------------


def test_p22_the_address_book_of_another_environment_refuses_to_start(rig: Rig, tmp_path: Path) -> None:
    book_file(tmp_path, rig, "test")
    with pytest.raises(SettingsError, match=r"SETTINGS\.MIX"):
        open_adapter(read_settings(plain_settings("production"), tmp_path))
    book_file(tmp_path, rig, "production")
    open_adapter(read_settings(plain_settings("production", store={"url": "sqlite:///p.db"}), tmp_path)).close()


def test_p22_the_store_of_another_environment_refuses_to_start(tmp_path: Path) -> None:
    open_adapter(read_settings(plain_settings("test"), tmp_path)).close()
    with pytest.raises(SettingsError, match=r"SETTINGS\.MIX"):
        open_adapter(read_settings(plain_settings("production"), tmp_path))


@pytest.mark.parametrize(
    "more",
    [
        {"trust": {"environment": "production"}},
        {"keys": {"k": {"pkcs12": "k.p12", "environment": "production"}}},
        {"edi20": {"base_url": "https://api.edi.nhn.no", "source_system": "x"}},
        {"register": {"base_url": "https://cpapi.nhn.no"}},
    ],
)
def test_p22_roots_keys_and_hosts_of_another_environment_refuse_to_start(tmp_path: Path, more: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"SETTINGS\.MIX"):
        read_settings(plain_settings(**more), tmp_path)


@pytest.fixture
def production(rig: Rig, tmp_path: Path) -> Iterator[Adapter]:
    """An adapter in production, with a server in memory."""
    book = rig.adapter.parts.book()
    folder = tmp_path / "production"
    folder.mkdir()
    settings = read_settings(plain_settings("production"), folder)
    with open_adapter(
        settings,
        now=rig.clock,
        roads={"t": MemoryServer().road(US)},
        book=lambda: AddressBook(book.entries, environment="production"),
    ) as adapter:
        yield adapter


def test_p22_production_refuses_a_synthetic_number_outbound(rig: Rig, production: Adapter) -> None:
    with pytest.raises(RefusedError) as caught:
        production.send_document(letter(rig, sender=US, receiver=place.BEKKELIA_GP))
    assert any(finding.blocking and finding.rule == "E-SYNTHETIC" for finding in caught.value.findings)
    assert production.list() == []


@pytest.mark.parametrize("status", ["T", "D"])
def test_p22_production_refuses_test_and_debugging_messages_outbound(
    rig: Rig, production: Adapter, status: str
) -> None:
    with pytest.raises(RefusedError):
        production.send_document(letter(rig, sender=US, receiver=place.BEKKELIA_GP, processing_status=status))


def test_p22_an_inbound_test_message_is_marked_and_not_rejected(rig: Rig) -> None:
    rig.world.inject(letter(rig, processing_status="T"), US)
    rig.rounds(1)
    (taken,) = rig.adapter.take("journal")
    assert "TEST" in taken.flags
    assert rig.adapter.list()[0]["is_test"] is True


# -- opening -------------------------------------------------------------------------------------------------------


def test_an_unwritable_store_is_an_error_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / "adapter.db").mkdir()
    with pytest.raises(StoreError):
        open_adapter(read_settings(plain_settings(), tmp_path))


def test_a_missing_address_book_is_missed_when_it_is_needed_and_not_before(tmp_path: Path) -> None:
    with open_adapter(read_settings(plain_settings(), tmp_path)) as adapter:
        assert adapter.list() == []
        with pytest.raises(SettingsError):
            adapter.parts.book()


def test_a_tenant_without_a_client_of_its_own_has_no_road_and_its_message_waits_for_a_person(
    rig: Rig, tmp_path: Path
) -> None:
    book_file(tmp_path, rig, "test")
    with open_adapter(read_settings(plain_settings(), tmp_path), now=rig.clock) as adapter:
        sent = adapter.send_document(letter(rig, sender=US, receiver=place.BEKKELIA_GP))
        adapter.run_once()
        assert [row["message_id"] for row in adapter.list(attention=True)] == [sent]


def test_p7_a_callable_can_be_handed_in(rig: Rig, tmp_path: Path) -> None:
    seen: list[Taken] = []

    def consumer(taken: Taken) -> str:
        seen.append(taken)
        return "accept"

    book_file(tmp_path, rig, "test")
    settings = read_settings(plain_settings(), tmp_path)
    with open_adapter(settings, now=rig.clock, handover=consumer) as adapter:  # type: ignore[arg-type]
        adapter.receive(letter(rig), receiver=US)
        adapter.run_once()
        assert [taken.msg_id for taken in seen] == [ID]
        assert adapter.list(state="handed over")


# -- what a caller may do ------------------------------------------------------------------------------------------


def test_p23_a_caller_with_several_tenants_names_one(make_rig: MakeRig) -> None:
    rig = make_rig(tenants=("solvang", "fjellglott"))
    with pytest.raises(InputError, match="several tenants"):
        rig.adapter.take("journal")
    with pytest.raises(InputError, match=r"P23\.TENANT"):
        rig.adapter.submit(read_message(referral()), tenant="fjellglott")
    with pytest.raises(NotFoundError):
        rig.adapter.take("journal", tenant="nobody")


def test_with_several_tenants_a_ping_says_how_to_name_the_address_that_asks(make_rig: MakeRig) -> None:
    rig = make_rig(tenants=("solvang", "fjellglott"))
    with pytest.raises(InputError) as refused:
        rig.adapter.ping(place.BEKKELIA_GP)
    assert (refused.value.where, f"--from (sender), e.g. {US}" in (refused.value.cure or "")) == ("sender", True)


def read_message(plain: dict[str, Any]) -> Any:
    from adapter import shapes
    from adapter.model.message import OutgoingMessage

    return shapes.read(OutgoingMessage, plain)


def test_a_consumer_has_a_name(rig: Rig) -> None:
    with pytest.raises(InputError):
        rig.adapter.take("  ")


def test_p28_nothing_is_accepted_while_the_disk_is_full(rig: Rig) -> None:
    object.__setattr__(rig.adapter.parts.settings.store, "low_water_bytes", 1 << 60)
    document = letter(rig, sender=US, receiver=place.BEKKELIA_GP)
    for attempt in (
        lambda: rig.send(referral()),
        lambda: rig.adapter.send_document(document),
        lambda: rig.adapter.receive(letter(rig), receiver=US),
    ):
        with pytest.raises(StoreError, match=r"P28\.DISK"):
            attempt()
    assert rig.adapter.list() == []


def test_the_inbox_lists_what_waits_however_much_came_later(rig: Rig) -> None:
    rig.world.inject(letter(rig), US)
    rig.rounds(1)
    for _ in range(3):
        rig.send(referral())
    (row,) = rig.adapter.inbox()
    assert (row["msg_id"], row["step"], row["direction"]) == (ID, "accepted", "in")
    assert rig.adapter.inbox(tenant="solvang") == [row]


# -- P21: the canary -----------------------------------------------------------------------------------------------


class Ear(logging.Handler):
    """Keeps every record as the product's own formatter writes it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def ear() -> Iterator[Ear]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    logs.configure(form="json", level="DEBUG")
    ear = Ear()
    ear.setFormatter(root.handlers[0].formatter)
    root.addHandler(ear)
    yield ear
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


CANARY = f"{NAME} {NUMBER}"
KEPT = {"MsgId", "GenDate", "MIGversion", "Id", "TypeId", "Type", "DateOfBirth"}


def spoiled(document: bytes, *, everything: bool) -> bytes:
    """The canary in each text and each display name; ``everything``: in ids and dates, codes and systems too."""
    from adapter import xmlio

    root = xmlio.parse(document)
    for element in root.iter("*"):
        local = element.tag.rpartition("}")[2]
        if not len(element) and (element.text or "").strip() and (everything or local not in KEPT):
            element.text = CANARY
        for name in element.attrib:
            if everything or name in ("DN", "OT"):
                element.set(name, CANARY)
    return xmlio.serialise(root)


def outputs(rig: Rig, ear: Ear, errors: list[str]) -> str:
    """Everything that people and programs see without giving a reason."""
    adapter = rig.adapter
    rows = adapter.list(limit=10_000)
    shown = [adapter.show(row["message_id"]) for row in rows]
    files = [str(file) for file in rig.folder.rglob("*")]
    listed = [adapter.list(attention=True), adapter.inbox(), adapter.alarms()]
    told = [rows, shown, files, listed, adapter.events(limit=100_000), rig.alarms, errors, ear.lines]
    return json.dumps(told, default=str, ensure_ascii=False)


def assert_silent(text: str) -> None:
    for word in (NUMBER, NAME, NAME.upper(), NAME.lower()):
        assert text.find(word) < 0, text[max(0, text.find(word) - 300) : text.find(word) + 50]


INBOUND = ("dialogue-notat", "dialogue-foresporsel", "dialogue-helsefaglig", "referral-frisklivssentral",
           "referral-specialist", "dialogue-status-henvisning")  # fmt: skip


def test_p21_a_canary_in_any_field_of_what_comes_in_shows_nowhere_but_in_the_content(
    make_rig: MakeRig, ear: Ear
) -> None:
    rig = make_rig(settings={"inbound": {"handover": "folder", "folder": "ehr"}})
    names = [name for name in INBOUND if (Path("samples/json") / f"{name}.json").exists()]
    assert len(names) >= 3
    good = [letter(rig, name, msg_id=f"{ID[:-2]}{number:02}") for number, name in enumerate(names)]
    for xml in good:
        rig.world.inject(spoiled(xml, everything=False), US)
        rig.world.inject(spoiled(xml, everything=True), US, sender=place.BEKKELIA_GP, msg_id=CANARY)
        rig.world.inject(spoiled(xml, everything=False)[:-20], US)
        rig.world.inject(xml.replace(b"<MIGversion>v1.2", b"<MIGversion>" + CANARY.encode()), US)
    for file in sorted(Path("samples/good").glob("*.xml")):
        rig.world.inject(spoiled(file.read_bytes(), everything=True), US)
        rig.world.inject(spoiled(file.read_bytes(), everything=False), US)
    rig.rounds(3)
    errors: list[str] = []
    for taken in rig.adapter.take("journal", limit=100):
        errors.append(repr(taken))
    rig.rounds(2)
    assert len(rig.steps()) >= 4 * len(good)
    assert_silent(outputs(rig, ear, errors))


def test_p21_a_canary_in_any_field_of_what_goes_out_shows_in_the_content_only(rig: Rig, ear: Ear) -> None:
    good = referral()
    good["patient"]["family_name"] = CANARY
    for text in ("apprec ok", f"apprec rejected X99 {CANARY}", "apprec rejected E21", "transport reject"):
        rig.world.script(place.GRANLI_FRISKLIV, text)
        sent = rig.send(good)
        rig.rounds(2)
        if CANARY in text:  # the words are content: they need a reason
            role = f"receipt-{place.GRANLI_FRISKLIV}"
            assert CANARY.encode() in rig.adapter.export(sent, reason="read the reason", role=role)
    errors: list[str] = []
    for file in sorted(Path("samples/json").glob("*.json")):
        for plain in with_canary(json.loads(file.read_text("utf-8"))):
            try:
                rig.send({**plain, "sender": US} if "sender" in plain else plain)
            except AdapterError as error:  # whatever it is, it may not quote the input
                errors.append(f"{error!r} {error} {getattr(error, 'where', '')} {getattr(error, 'cure', '')}")
                errors += [str(finding.as_json()) for finding in getattr(error, "findings", ())]
    rig.rounds(3)
    assert errors
    assert_silent(outputs(rig, ear, errors))


def with_canary(plain: Any, path: tuple[Any, ...] = ()) -> Iterator[Any]:
    """The input with the canary in one text after another."""

    def walk(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        if isinstance(value, str):
            yield path
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from walk(item, (*path, key))
        elif isinstance(value, list):
            for number, item in enumerate(value):
                yield from walk(item, (*path, number))

    for place_ in walk(plain, path):
        changed = json.loads(json.dumps(plain))
        target = changed
        for step in place_[:-1]:
            target = target[step]
        target[place_[-1]] = CANARY
        yield changed
