"""Writes samples/good from samples/json with the builder: ``python -m tests.documents.make_samples``.

Ids and times are fixed, so the files change only when the inputs or the builder do; a test holds them together.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from adapter import shapes
from adapter.documents import build_document
from adapter.model.document import Built
from adapter.model.message import Head, OutgoingMessage, ReceiverChoice
from adapter.model.partner import AddressBook, ServiceType
from adapter.simulator.world import World
from adapter.transport.register import read_address_book
from adapter.xmlio import serialise, splice

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
WHEN = datetime(2026, 11, 20, 10, 0)


@cache
def address_book() -> AddressBook:
    return read_address_book(World().address_book())


def read_input(file: Path) -> OutgoingMessage:
    return shapes.read(OutgoingMessage, json.loads(file.read_text("utf-8")))


def find(choice: ReceiverChoice) -> int:
    if choice.her_id is not None:
        return choice.her_id
    kind = ServiceType(code_list=choice.service_list, code=choice.service_code or "")
    return address_book().find_service(kind, at=WHEN.replace(tzinfo=UTC), municipality=choice.municipality).her_id


def head_of(message: OutgoingMessage, name: str) -> Head:
    """A head with parties from the simulated register and ids made from the name."""
    book = address_book()
    return Head(
        msg_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"sample/{name}")),
        gen_date=WHEN,
        sender=book.party(message.sender),
        receiver=book.party(find(message.receiver)),
        copies=tuple(book.party(find(copy)) for copy in message.copies),
        marker_seed=name,
    )


def build(file: Path) -> Built:
    message = read_input(file)
    return build_document(message, head_of(message, file.stem))


def document(file: Path) -> bytes:
    built = build(file)
    return splice(serialise(built.root), built.markers, built.attachments)


def inputs() -> list[Path]:
    return sorted((SAMPLES / "json").glob("*.json"))


def main() -> None:
    (SAMPLES / "good").mkdir(exist_ok=True)
    for file in inputs():
        (SAMPLES / "good" / f"{file.stem}.xml").write_bytes(document(file))


if __name__ == "__main__":
    main()
