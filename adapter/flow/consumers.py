"""The ways of handing over that the adapter drives itself (P7): a folder that another program reads, or a callable.

Both take and confirm as any consumer does, so a crash at any point gives the message again and never loses a word.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from adapter.config import TenantSettings
from adapter.errors import AdapterError, InputError, StateError, StoreError
from adapter.flow import handover
from adapter.flow.alarms import all_clear, raise_alarm
from adapter.flow.handover import Decision, Taken
from adapter.flow.parts import Parts
from adapter.model.delivery import Step
from adapter.store import inbox, journal, outbox
from adapter.store.statements import Row

FOLDER, CALLBACK = "folder", "callback"
WORDS: tuple[Decision, ...] = ("accept", "reject", "sorting")
BATCH = 20

Answered = Decision | tuple[Decision, Sequence[str]] | None
Consumer = Callable[[Taken], Answered]


def hand_over(parts: Parts) -> int:
    """Give what was accepted to the consumer of the settings, and take its words; gives how many messages moved."""
    moved = 0
    for tenant in parts.settings.tenant:
        if parts.handover is not None:
            moved += call(parts, tenant, parts.handover)
        elif parts.settings.inbound.handover == FOLDER:
            moved += exchange(parts, tenant, folder_of(parts, tenant))
    return moved


def call(parts: Parts, tenant: TenantSettings, consumer: Consumer) -> int:
    """Call a consumer in this process with one message after the other.

    It gives a decision, a decision with codes, or None for "not now". What it raises ends this round; the message
    stays leased until its lease runs out, so the next round goes on with the others.
    """
    lease_s = parts.settings.inbound.lease_s
    for number in range(BATCH):
        taken = []
        if not parts.stopping.is_set():
            taken = handover.take(parts, tenant=tenant.name, consumer=CALLBACK, lease_s=lease_s, limit=1)
        if not taken:
            return number
        answer = consumer(taken[0])
        decision, codes = answer if isinstance(answer, tuple) else (answer, ())
        if decision is not None:
            _confirm(parts, taken[0].delivery_id, taken[0].token, decision, codes)
    return BATCH


def folder_of(parts: Parts, tenant: TenantSettings) -> Path:
    """Where a tenant's messages are laid; with several tenants each has a folder of its own (P23)."""
    base = parts.settings.path(parts.settings.inbound.folder or "inbox")
    return base / tenant.name if len(parts.settings.tenant) > 1 else base


def exchange(parts: Parts, tenant: TenantSettings, folder: Path) -> int:
    """Read the words that lie in the folder, then lay new messages there; gives how many messages moved.

    A message is ``ID.xml`` and, when that is complete, ``ID.json``. A file ``ID.accept``, ``ID.sorting`` or
    ``ID.reject`` (which holds codes) confirms it; write it under another name and rename it. Raises StoreError when
    the folder cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        moved = _read_words(parts, tenant, folder)
        return moved + _lay_new(parts, tenant, folder)
    except OSError as error:
        text = f"the folder for received messages cannot be used: {error.strerror}"
        raise StoreError(text, code="P7.FOLDER", where="inbound.folder", cure="check rights and space") from None


def _lay_new(parts: Parts, tenant: TenantSettings, folder: Path) -> int:
    lease_s = parts.settings.inbound.lease_s
    found = handover.take(parts, tenant=tenant.name, consumer=FOLDER, lease_s=lease_s, limit=BATCH)
    for taken in found:
        plain = {
            "message_id": taken.message_id,
            "delivery_id": taken.delivery_id,
            "msg_id": taken.msg_id,
            "msg_type": taken.msg_type,
            "flags": list(taken.flags),
            "content": taken.content,
        }
        _write(folder / f"{taken.message_id}.xml", taken.document)
        _write(folder / f"{taken.message_id}.json", json.dumps(plain, ensure_ascii=False, indent=2).encode())
    return len(found)


def _write(file: Path, content: bytes) -> None:
    """All or nothing, readable by us alone (P21)."""
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    part.replace(file)


def _read_words(parts: Parts, tenant: TenantSettings, folder: Path) -> int:
    with parts.store.reading() as db:
        held = {row["message_id"]: row for row in inbox.held_by(db, tenant.name, FOLDER)}
    confirmed = 0
    for message_id in sorted({file.stem for file in folder.iterdir() if file.suffix[1:] in (*WORDS, "json")}):
        row = held.get(message_id)
        if row is not None:
            confirmed += _read_word(parts, row, folder)
        elif _is_over(parts, message_id):
            _clear(folder, message_id)  # a crash after the confirmation, or confirmed another way
    return confirmed


def _read_word(parts: Parts, row: Row, folder: Path) -> int:
    files = {word: folder / f"{row['message_id']}.{word}" for word in WORDS}
    said = [word for word, file in files.items() if file.exists()]
    if not said:
        return 0
    codes: list[str] = []
    if "reject" in said:
        codes = [code for code in re.split(r"[\s,;]+", files["reject"].read_text("utf-8", "replace")) if code]
    if len(said) > 1 or not _confirm(parts, row["id"], row["lease_by"], said[0], codes):
        if len(said) > 1:
            _refuse_word(parts, row["id"], "P7.TWO_WORDS")
        return 0
    _clear(folder, row["message_id"])
    return 1


def _confirm(parts: Parts, delivery_id: str, token: str, decision: Decision, codes: Sequence[str]) -> bool:
    """False, with an alarm, when the word cannot be taken; the message then waits for another one."""
    try:
        if decision not in WORDS:
            raise InputError(f"a decision is one of: {', '.join(WORDS)}", where="decision")
        handover.confirm(parts, token, decision, codes)
    except (InputError, StateError) as error:
        _refuse_word(parts, delivery_id, error.code)
        return False
    all_clear(parts, f"word:{delivery_id}")
    return True


def _refuse_word(parts: Parts, delivery_id: str, code: str) -> None:
    with parts.store.transaction() as db:
        row = outbox.find_delivery(db, delivery_id)
        if row is not None and row["attention"] is None:
            journal.flag(db, row, handover.WORD_REFUSED, at=parts.store.now_us(), detail={"code": code})
    raise_alarm(parts, f"word:{delivery_id}", f"a consumer's word cannot be taken: {code}")


def _is_over(parts: Parts, message_id: str) -> bool:
    """True for a message of ours that waits for no word any more."""
    try:
        with parts.store.reading() as db:
            rows = outbox.deliveries(db, message_id)
    except AdapterError:
        return False
    return bool(rows) and all(row["direction"] == "in" and row["step"] != Step.ACCEPTED.value for row in rows)


def _clear(folder: Path, message_id: str) -> None:
    for suffix in ("json", "xml", *WORDS):
        (folder / f"{message_id}.{suffix}").unlink(missing_ok=True)
