"""Dialogmelding 1.0 and 1.1 as tables, in schema order (HIS 80603:2006 and :2017)."""

from __future__ import annotations

from typing import Any

from adapter.documents import names
from adapter.documents.tables import DATE, STRING, Field, Node, cs, cv, sub
from adapter.documents.tables_people import FK1_UNIT, person, professional
from adapter.documents.xhtml import clean_xhtml, has_markup, plain_text, write_xhtml
from adapter.errors import InputError
from adapter.xmlio import Element


class RichText(Field):
    """An element of anyType with plain text (``text``) or XHTML (``xhtml``); read as both when it is formatted."""

    def __init__(self, name: str) -> None:
        super().__init__("text", name, STRING)

    def bound(self, ns: str) -> RichText:
        field = RichText(self.name)
        field.tag = f"{{{ns}}}{self.name}"
        return field

    def write(self, parent: Element, word: Any) -> None:
        formatted = getattr(word, "xhtml", None)
        if formatted is None:
            super().write(parent, word)
        elif word.text is not None:
            raise InputError("a note has plain or formatted text, not both", where="xhtml", cure="leave one out")
        else:
            write_xhtml(sub(parent, self.tag), formatted)

    def read(self, element: Element, found: dict[str, object]) -> None:
        if "text" in found:
            return
        found["text"] = plain_text(element)
        if has_markup(element):
            found["xhtml"] = clean_xhtml(element)


class NotHere(Field):
    """A field of the word that this version has no element for: giving it a value is an error, not a silent loss."""

    def __init__(self, attribute: str, text: str, cure: str) -> None:
        super().__init__(attribute, "", STRING)
        self._text = text
        self._cure = cure

    def bound(self, ns: str) -> NotHere:
        return self

    def write(self, parent: Element, word: Any) -> None:
        if getattr(word, self.attribute, None) is not None:
            raise InputError(self._text, where=self.attribute, cure=self._cure)


_NO_UNIT = NotHere("unit", "Dialogmelding 1.0 has no unit beside a role", "name a person, or use version 1.1")


def _people(ns: str) -> tuple[Field, Field]:
    return (
        Field("professional", "HealthcareProfessional", professional(ns, names.FK1)),
        Field("person", "Person", person(ns, names.FK1, given_first=True)),
    )


def _role(ns: str) -> Node:
    unit = Node(ns, Field("unit", "Kontaktenhet", FK1_UNIT), Field("note", "Merknad", STRING), *_people(ns))
    return Node(
        ns,
        Field("function", "RolleNotat", cv("9057")),
        Field("role", "RoleToPatient", cv("9034")),
        Field("unit", "TilknyttetEnhet", unit) if ns == names.DIALOGUE_1_1 else _NO_UNIT,
        *_people(ns),
    )


def _question(ns: str) -> Node:
    newer = ns == names.DIALOGUE_1_1
    return Node(
        ns,
        Field("type", "TypeForesp", cv()),
        *((Field("subject", "EmneSporsmal", STRING), RichText("Sporsmal")) if newer else ()),
        *(() if newer else (Field("text", "Sporsmal", STRING),)),
        Field("purpose", "Formål", cv("9068")),
        Field("grounds", "Begrunnelse", STRING),
        Field("urgency", "Hastegrad", cs("9067")),
        Field("from_date", "FraDato", DATE),
        Field("to_date", "TilDato", DATE),
        Field("journal_parts" if newer else "journal_part", "TypeJournalinfo", cv(), many=newer),
        *((Field("coded", "KodetOpplysning", cv()),) if newer else ()),
        Field("document_id", "DokIdForesp", STRING),
        Field("roles", "RollerRelatertNotat", _role(ns), many=True),
    )


def _note(ns: str) -> Node:
    return Node(
        ns,
        Field("coded_theme", "TemaKodet", cv(), key="theme"),
        Field("heading", "Tema", STRING),
        RichText("TekstNotatInnhold"),
        Field("remark", "Merknad", STRING),
        Field("document_id", "DokIdNotat", STRING),
        Field("written_on", "DatoNotat", DATE),
        Field("question", "Foresporsel", _question(ns)),
        Field("roles", "RollerRelatertNotat", _role(ns), many=True),
    )


def _dialogue(ns: str) -> Node:
    return Node(
        ns,
        Field("case_type_code", "SakstypeKodet", cv()),
        Field("case_type", "Sakstype", STRING),
        Field("questions", "Foresporsel", _question(ns), many=True),
        Field("notes", "Notat", _note(ns), many=True),
    )


QUESTIONS = {ns: _question(ns) for ns in (names.DIALOGUE_1_0, names.DIALOGUE_1_1)}
NOTES = {ns: _note(ns) for ns in (names.DIALOGUE_1_0, names.DIALOGUE_1_1)}
DIALOGUES = {ns: _dialogue(ns) for ns in (names.DIALOGUE_1_0, names.DIALOGUE_1_1)}
