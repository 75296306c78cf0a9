"""build: from a JSON input to the XML message, unsigned, for looking at or for signing elsewhere."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapter.cli import output
from adapter.cli.app import OK, Shared
from adapter.cli.opening import TimeParameter, norwegian, read_json

if TYPE_CHECKING:
    from adapter.model.document import Built
    from adapter.model.message import Head, OutgoingMessage, ReceiverChoice
    from adapter.model.partner import AddressBook, RegisterEntry

_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True)


@click.command()
@click.argument("file", type=_FILE, metavar="INPUT.json")
@click.option("-o", "--out", metavar="OUT.xml", help="Where to; default: stdout.")
@click.option(
    "--addressbook", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="Default: the settings'."
)
@click.option("--at", type=TimeParameter(), metavar="TIME", help="The message's time; default: now.")
@click.option("--msg-id", metavar="UUID", help="The message's id; default: a new one.")
@click.pass_obj
def build(
    shared: Shared, file: str, out: str | None, addressbook: str | None, at: datetime | None, msg_id: str | None
) -> int:
    """Build the XML message of a JSON input. It is checked as before sending, but neither signed nor sent.

    Names and ids of sender and receiver come from the address book: the one given, or the one of the settings. With
    errors nothing is written and the exit code is 1; findings go to stderr. 'adapter schema message' prints the form of
    the input.

    \b
    Examples:
      adapter build samples/json/referral-frisklivssentral.json --addressbook samples/addressbook.json -o out.xml
      adapter build - < note.json | adapter check --direction out -
    """
    from adapter.model.message import OutgoingMessage
    from adapter.shapes import read

    message = read(OutgoingMessage, read_json(file))
    when = at or datetime.now(UTC)
    book = _book(shared, addressbook)
    receiver = _receiver(book, message.receiver, when)
    head = _head(message, book, receiver, when, msg_id)
    output.write_bytes(_checked(message, head, receiver, when), out)
    return OK


def _book(shared: Shared, addressbook: str | None) -> AddressBook:
    from adapter.transport.addressbook import read_address_book

    if addressbook is not None:
        return read_address_book(Path(addressbook))
    settings = shared.settings()
    return read_address_book(settings.path(settings.register.file))


def _receiver(book: AddressBook, choice: ReceiverChoice, at: datetime) -> RegisterEntry:
    from adapter.errors import InputError
    from adapter.model.partner import ServiceType

    if choice.her_id is not None:
        return book.find(choice.her_id)
    if choice.service_code is None:
        raise InputError("a receiver needs her_id, or service_code and a place", where="$.receiver")
    return book.find_service(
        ServiceType(code_list=choice.service_list, code=choice.service_code),
        at=at,
        organisation=choice.organisation,
        organisation_number=choice.organisation_number,
        municipality=choice.municipality,
    )


def _head(
    message: OutgoingMessage, book: AddressBook, receiver: RegisterEntry, at: datetime, msg_id: str | None
) -> Head:
    from adapter.model.message import Head

    return Head(
        msg_id=msg_id or str(uuid.uuid4()),
        gen_date=norwegian(at),
        sender=book.party(message.sender),
        receiver=book.party(receiver.her_id),
        copies=tuple(book.party(_receiver(book, copy, at).her_id) for copy in message.copies),
        marker_seed=uuid.uuid4().hex,
    )


def _checked(message: OutgoingMessage, head: Head, receiver: RegisterEntry, at: datetime) -> bytes:
    """The document's bytes; raises RefusedError with its findings when it may not be sent."""
    import adapter.xmlio as xmlio
    from adapter.documents import build_document
    from adapter.errors import RefusedError, Severity
    from adapter.flow.check import CheckContext, check_document
    from adapter.validation.subject import RuleContext

    built: Built = build_document(message, head)
    agreement = receiver.agreement
    rules = RuleContext(
        direction="out",
        offline=True,
        ours=frozenset({message.sender}),
        partner_is_nav=bool(agreement and agreement.nav),
        attachments_allowed=agreement.attachments if agreement else (),
        attachment_pieces=built.attachments,
        signer_fnr=message.signer.fnr if message.signer else None,
        signer_profession=message.signer.profession if message.signer else None,
        lang="en",
    )
    checked = check_document(built.root, CheckContext(rules=rules), at=at)
    if any(finding.blocking for finding in checked.findings):
        raise RefusedError("the message has errors and was not written", checked.findings)
    for finding in checked.findings:
        if finding.severity is Severity.INFO:
            continue
        output.note(f"{finding.severity.value} {finding.rule} {finding.path or ''}: {finding.text}")
    return xmlio.splice(xmlio.serialise(built.root), built.markers, built.attachments)
