"""Business answers of a frisklivssentral and of a GP office: status on a referral, dialogue, answers to questions."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import adapter.xmlio as xmlio
from adapter.codes import Coded
from adapter.simulator.addressing import child, read_envelope, text
from adapter.simulator.answers import DIALOG_10, DIALOG_11, Letter, write_letter
from adapter.simulator.partners import Script
from adapter.simulator.postoffice import Delivery, PostOffice, Stored, local_time

CONTACT = ("Turheim", "Ola Frisk")


@dataclass(slots=True)
class Letters:
    """Writes and delivers dialogue messages from a receiver of a message back to its sender."""

    office: PostOffice

    def write(
        self,
        stored: Stored,
        delivery: Delivery,
        letter: Letter,
        references: tuple[str, str] | None,
        *,
        names: Mapping[str, Any] | None = None,
        twice: bool = False,
    ) -> Stored:
        """``names`` are the ebXML names it travels under; ``twice``: the same bytes again under another server id."""
        if stored.envelope is None or stored.sender is None:
            raise ValueError("a letter needs the parties of the message that it answers")
        document = write_letter(
            stored.envelope,
            delivery.receiver,
            letter,
            msg_id=self.office.ids(),
            at=local_time(self.office.clock()),
            conversation=references,
        )
        envelope = read_envelope(document)
        for _ in range(2 if twice else 1):
            written = self.office.accept(
                document, envelope, sender=delivery.receiver, receivers=(stored.sender,), overrides=names
            )
        return written


@dataclass(slots=True)
class Replies:
    """The answer that fits a message."""

    letters: Letters

    def answer(self, stored: Stored, delivery: Delivery, script: Script) -> None:
        """Nothing without the behaviour ``reply``, and nothing to messages that expect no answer."""
        letter = letter_for(stored) if "reply" in script.extras else None
        if letter is not None:
            self.letters.write(stored, delivery, letter, _references(stored), twice="duplicate" in script.extras)


def letter_for(stored: Stored) -> Letter | None:
    """What a municipal service or a GP office answers to that message, or None."""
    kind = stored.envelope.msg_type if stored.envelope else None
    if kind == "HENVISNING_NYTILSTAND":
        return _status()
    if kind in ("HENVISNING", "DIALOG_HELSEFAGLIG"):
        return _dialogue()
    if kind == "DIALOG_FORESPORSEL":
        return _answer(stored)
    return None


def _references(stored: Stored) -> tuple[str, str]:
    """Parent = the message answered; conversation = its conversation, or the message itself when it began one."""
    begun = stored.envelope.conversation if stored.envelope else None
    return stored.msg_id or "", begun or stored.msg_id or ""


def _status() -> Letter:
    return Letter(
        msg_type="DIALOG_STATUS_HENVISNING",
        namespace=DIALOG_11,
        theme=Coded.of(9148, "2"),
        heading="Henvisning til frisklivssentral",
        words="Henvisningen er vurdert. Deltakeren får tilbud om helsesamtale, og tidspunkt sendes i eget brev.",
        contact=CONTACT,
    )


def _dialogue() -> Letter:
    return Letter(
        msg_type="DIALOG_HELSEFAGLIG",
        namespace=DIALOG_11,
        theme=Coded.of(7322, "6"),
        heading="Svar på henvendelse",
        words="Takk for meldingen. Vi følger opp og melder tilbake etter første samtale.",
        contact=CONTACT,
    )


def _answer(stored: Stored) -> Letter:
    root = stored.envelope.root if stored.envelope else None
    question = child(root, "Document", "RefDoc", "Content", "Dialogmelding", "Foresporsel")
    return Letter(
        msg_type="DIALOG_SVAR",
        namespace=DIALOG_10,
        theme=Coded.of(9069, "5"),
        words="Pasienten er i god bedring og bruker ingen faste legemidler.",
        question=_same_namespace(question),
        contact=CONTACT,
        document_id=text(question, "DokIdForesp"),
    )


def _same_namespace(question: xmlio.Element | None) -> xmlio.Element | None:
    """The question, to be repeated in a 1.0 answer (general rule of Dialogmelding 1.0)."""
    if question is None or not question.tag.startswith(f"{{{DIALOG_10}}}"):
        return None
    return copy.deepcopy(question)
