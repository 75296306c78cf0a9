"""Writes samples/bad, good messages with one fault each and named for it: ``python -m tests.cli.make_bad_samples``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

AT = "2026-11-21T10:00:00"
SAMPLES = Path(__file__).resolve().parents[2] / "samples"
DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
MSGHEAD = b"http://www.kith.no/xmlstds/msghead/2006-05-24"


def good(name: str) -> bytes:
    return (SAMPLES / "good" / f"{name}.xml").read_bytes()


def changed(name: str, old: bytes, new: bytes) -> bytes:
    """A good message with one text replaced, which must be there."""
    document = good(name)
    if old not in document:
        raise ValueError(f"{name} has no {old!r}")
    return document.replace(old, new, 1)


def cut(name: str, pattern: bytes, new: bytes = b"") -> bytes:
    """A good message with the first match of a pattern replaced, which must be there."""
    document, count = re.subn(pattern, new.replace(b"\\", b"\\\\"), good(name), count=1, flags=re.S)
    if count != 1:
        raise ValueError(f"{name} has no {pattern!r}")
    return document


def bomb() -> bytes:
    entities = b"".join(b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 10) for n in range(1, 10))
    return b'<?xml version="1.0"?>\n<!DOCTYPE MsgHead [<!ENTITY e0 "ha">' + entities + b"]>\n<MsgHead>&e9;</MsgHead>\n"


def wrapped_twice() -> bytes:
    inner = good("inbound-dialogue").removeprefix(DECLARATION)
    other = good("inbound-note").removeprefix(DECLARATION)
    return (
        DECLARATION + b'<EI_fellesformat xmlns="http://www.nav.no/xml/eiff/2/">' + inner + other + b"</EI_fellesformat>"
    )


def many_attributes() -> bytes:
    attributes = b"".join(b' a%d="1"' % number for number in range(5000))
    return changed("inbound-note", b"<MsgInfo>", b"<MsgInfo" + attributes + b">")


def many_namespaces() -> bytes:
    declared = b"".join(b' xmlns:n%d="urn:n%d"' % (number, number) for number in range(60))
    return changed("inbound-note", b"<MsgInfo>", b"<MsgInfo" + declared + b">")


MAKERS: dict[str, Callable[[], bytes]] = {
    # not readable
    "not-xml": lambda: b"MSH|^~\\&|EPJ|LAB|202611201000||ORU^R01|1|P|2.5\n",
    "cut-off": lambda: good("inbound-dialogue")[:1500],
    "empty": lambda: b"",
    "utf-16": lambda: good("inbound-note").replace(b"UTF-8", b"UTF-16").decode().encode("utf-16"),
    "wrong-encoding-declared": lambda: good("inbound-note").decode().encode("latin-1"),
    "doctype": lambda: changed("inbound-note", DECLARATION, DECLARATION + b"<!DOCTYPE MsgHead>\n"),
    "entity-bomb": bomb,
    "processing-instruction": lambda: changed("inbound-note", b"<MsgInfo>", b"<?php echo 1 ?><MsgInfo>"),
    "nested-too-deep": lambda: DECLARATION + b"<a>" * 200 + b"</a>" * 200,
    "many-attributes": many_attributes,
    "many-namespaces": many_namespaces,
    "two-messages-in-one-wrapper": wrapped_twice,
    # readable, but not right
    "unknown-type": lambda: changed("inbound-note", b"xmlstds/dialog/2006-10-11", b"xmlstds/dialog/1999-01-01"),
    "sender-missing": lambda: cut("inbound-note", rb"<Sender>.*?</Sender>"),
    "patient-missing": lambda: cut("inbound-question", rb"<Patient>.*?</Patient>"),
    "element-order": lambda: cut(
        "inbound-note",
        rb"(<GenDate>.*?</GenDate>)(<MsgId>.*?</MsgId>)",
        b"<MsgId>5b0f8a86-6d84-4a3a-9f18-7d1f8f2c0b01</MsgId><GenDate>2026-11-20T10:00:00</GenDate>",
    ),
    "same-id-other-content": lambda: changed("inbound-dialogue", b"tirsdag kl. 10", b"torsdag kl. 18"),
    "receiver-is-somebody-else": lambda: changed("inbound-note", b"<Id>8091301</Id>", b"<Id>8091999</Id>"),
    "emergency-with-faults": lambda: cut("inbound-emergency", rb"<DateOfBirth>.*?</Ident></Patient>", b"</Patient>"),
    "apprec-for-unknown-message": lambda: apprec(),
}


def apprec() -> bytes:
    """An AppRec 1.1 from the frisklivssentral for a message that nobody sent."""
    party = (
        "<HCP><Inst><Name>{0}</Name><Id>{1}</Id>"
        '<TypeId V="HER" DN="HER-id"/>'
        "<Dept><Name>{2}</Name><Id>{3}</Id>"
        '<TypeId V="HER" DN="HER-id"/></Dept></Inst></HCP>'
    )
    sender = party.format("Granli kommune", 8091100, "Frisklivssentral, Granli", 8091101)
    receiver = party.format("Solvang legekontor", 8091300, "Fastlegetjeneste, Solvang", 8091301)
    text = (
        '<AppRec xmlns="http://www.kith.no/xmlstds/apprec/2012-02-15">'
        '<MsgType V="APPREC" DN="Applikasjonskvittering"/><MIGversion>v1.1 2012-02-15</MIGversion>'
        "<GenDate>2026-11-20T10:05:00</GenDate><Id>0d6f2f8e-58b8-4c15-a2c0-94a1a8d6f201</Id>"
        f'<Sender><Role V="PRIM" DN="Primærmottaker"/>{sender}</Sender>'
        f'<Receiver><Role V="AVS" DN="Avsender"/>{receiver}</Receiver>'
        '<Status V="1" DN="OK"/>'
        '<OriginalMsgId><MsgType V="HENVISNING_NYTILSTAND" DN="Henvisning ny tilstand"/>'
        "<IssueDate>2026-11-20T10:00:00</IssueDate><Id>6f1a9d52-0b1c-4d57-8f61-3f3f0e1b7c01</Id></OriginalMsgId>"
        "</AppRec>"
    )
    return DECLARATION + text.encode()


def document(name: str) -> bytes:
    """The bad message, with a MsgId of its own unless the id is the point."""
    made = MAKERS[name]()
    if name == "same-id-other-content":
        return made
    own = str(uuid.uuid5(uuid.NAMESPACE_URL, f"sample/bad/{name}")).encode()
    return re.sub(rb"<MsgId>[0-9a-f-]{36}</MsgId>", b"<MsgId>" + own + b"</MsgId>", made)


def expectation(record: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a line of ``adapter check --json``: the facts, not the words."""
    kept = {name: value for name, value in record.items() if name not in ("file", "findings", "apprec")}
    codes = [error["code"] for error in (record["apprec"] or {}).get("errors", ())]
    return {"file": "/".join(record["file"].split("/")[-2:]), **kept, "apprec": codes or None}


def write_expectations() -> None:
    """samples/expected.jsonl from what the check says now: look at the difference before you commit it."""
    files = sorted(str(file) for file in SAMPLES.glob("*/*.xml"))
    command = [sys.executable, "-m", "adapter", "check", "--json", "--at", AT, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [expectation(json.loads(line)) for line in done.stdout.splitlines()]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (SAMPLES / "expected.jsonl").write_text(text, "utf-8")


def main() -> None:
    (SAMPLES / "bad").mkdir(exist_ok=True)
    for name in MAKERS:
        (SAMPLES / "bad" / f"{name}.xml").write_bytes(document(name))
    write_expectations()


if __name__ == "__main__":
    main()
