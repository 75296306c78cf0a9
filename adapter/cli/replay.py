"""replay: a folder of messages through the receiving journey, with a store of its own and no network (P22)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapter.cli import output
from adapter.cli.app import OK, REFUSED, Shared
from adapter.cli.opening import HerIds, json_option

if TYPE_CHECKING:
    from adapter.assembly import Adapter
    from adapter.config import Settings
    from adapter.model.partner import AddressBook

COLUMNS = {"file": "file", "msg_type": "type", "step": "verdict", "codes": "codes", "attention": "attention"}
GOOD = frozenset({"accepted", "handed over", "receipted", "matched", "parked", "duplicate"})
NOBODY = 1  # the address of files whose receiver cannot be read, when --as names nobody


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False), metavar="DIR")
@click.option(
    "--as", "ours", multiple=True, type=HerIds(), metavar="HER-ID[,…]", help="Who we are; default: each receiver."
)
@click.option("--addressbook", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="Partners we know.")
@click.option(
    "--keep", type=click.Path(file_okay=False), metavar="DIR", help="Keep the store here; default: thrown away."
)
@json_option
@click.pass_obj
def replay(
    shared: Shared,
    folder: str,
    ours: tuple[tuple[int, ...], ...],
    addressbook: str | None,
    keep: str | None,
    as_json: bool,
) -> int:
    """Feed all *.xml files of DIR, in order of their names, through the receiving journey: open, duplicate or conflict,
    signature, schema, rules, accept or reject. Each verdict is what a real inbox would give.

    It has a store of its own, ignores the settings and talks to nobody. Exit code 1 when a file was not accepted.

    \b
    Examples:
      adapter replay samples/good
      adapter replay captured/ --as 8091301,8091302 --addressbook addressbook.json --json
    """
    shared.start_logs()
    files = sorted(file for file in Path(folder).rglob("*.xml") if file.is_file())
    if not files:
        output.note("there are no *.xml files there")
        return OK
    named = [her_id for group in ours for her_id in group]
    with tempfile.TemporaryDirectory(prefix="adapter-replay-") as scratch:
        base = Path(keep or scratch)
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        addresses = {file: receiver_of(file.read_bytes(), named) for file in files}
        with _adapter(base, set(addresses.values()) | set(named), addressbook) as adapter:
            rows = []
            with output.progress(files, "replaying", quiet=as_json) as queue:
                for file in queue:
                    rows.append(feed(adapter, file, addresses[file]))
                    if as_json:
                        output.json_line(rows[-1])
    if not as_json:
        output.table(rows, COLUMNS)
    return OK if all(row["step"] in GOOD for row in rows) else REFUSED


def feed(adapter: Adapter, file: Path, receiver: int) -> dict[str, Any]:
    """One file into the inbox of ``receiver``; gives what became of it."""
    taken = adapter.receive(file.read_bytes(), receiver=receiver)
    shown = adapter.show(taken["id"])
    delivery = next(row for row in shown["deliveries"] if row["id"] == taken["delivery_id"])
    return {
        "file": str(file),
        "id": taken["id"],
        "msg_id": shown["message"].get("msg_id"),
        "msg_type": shown["message"].get("msg_type"),
        "step": taken["step"],
        "codes": codes_of(delivery.get("errors")),
        "attention": delivery.get("attention"),
        "receipt": next(iter(shown.get("receipts", ())), None),
    }


def codes_of(errors: object) -> list[str]:
    """The 8221 codes of a delivery's errors."""
    if not isinstance(errors, Iterable) or isinstance(errors, str | Mapping):
        return []
    return [str(error["code"]) for error in errors if isinstance(error, Mapping) and error.get("code")]


def receiver_of(document: bytes, ours: list[int]) -> int:
    """Whose inbox a document belongs into: its own receiver, of ours where ``ours`` names somebody."""
    import adapter.xmlio as xmlio
    from adapter.documents import read_facts, unwrap
    from adapter.errors import AdapterError
    from adapter.identifiers import read_her_id

    fallback = ours[0] if ours else NOBODY
    try:
        facts = read_facts(unwrap(xmlio.parse(document)))
        found = []
        for party in (facts.receiver, *facts.copies):
            text = (party.her_id(2) or party.her_id(1)) if party is not None else None
            if text:
                found.append(read_her_id(text))
    except AdapterError:
        return fallback
    if ours:
        return next((her_id for her_id in found if her_id in ours), fallback)
    return found[0] if found else fallback


def _adapter(base: Path, ours: set[int], addressbook: str | None) -> Adapter:
    from adapter.assembly import open_adapter

    book = _book(addressbook)
    return open_adapter(_settings(base, ours), roads={}, book=lambda: book)


def _settings(base: Path, ours: set[int]) -> Settings:
    from adapter.config import Environment, Settings, SoftwareSettings, StoreSettings, TenantSettings

    return Settings(
        environment=Environment.TEST,
        software=SoftwareSettings(
            fagsystem="adapter replay",
            fagsystem_version="1",
            mellomvare="adapter",
            mellomvare_version="0.1.0",
            msh="none",
            msh_version="0",
        ),
        tenant=(TenantSettings(name="replay", organisation_number="999999999", her_ids=tuple(sorted(ours))),),
        base=str(base),
        store=StoreSettings(url="sqlite:///replay.db", low_water_bytes=0),
    )


def _book(path: str | None) -> AddressBook:
    from adapter.model.partner import AddressBook
    from adapter.transport.addressbook import read_address_book

    return read_address_book(Path(path)) if path else AddressBook({})
