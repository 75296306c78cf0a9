"""Check a document against the schemas, which are found by namespace and never by schemaLocation.

The schemas lie in ``schemas/<standard>/<version>/`` and are ours (DESIGN 8). Only those that a document needs are read
and compiled, once per process; a user may load the official set from a directory instead.

What a fault is called (``Finding.rule``), for the tolerance of P11:

==================  ============================================================================================
XSD.missing         a mandatory element is absent; the path ends in its name, as if it were there
XSD.order           an element that belongs here, but earlier or later
XSD.unexpected      an element that does not belong here or is one too many; text where only elements may be
XSD.value           a text or attribute value without the form of its type (path ends in the element or ``@V``)
XSD.empty           the same, but the value is blank
XSD.attribute       an attribute that does not belong here, or a mandatory one that is absent
XSD.wildcard        content of a namespace that no schema at hand describes
==================  ============================================================================================

Paths are local names from the given root with positions where siblings share the name
(``/MsgHead/MsgInfo/Receiver/Organisation/Ident[2]/Id``); a name that the schemas do not know is written ``*`` (P21).
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from lxml import etree

from adapter.errors import Finding, SettingsError, Severity, UnreadableError
from adapter.validation.base64_text import last_group
from adapter.xmlio import Element, compile_schema, follows_schema, parse, serialise, texts_out

if TYPE_CHECKING:
    from adapter.validation.explain import Explainer

XS = "{http://www.w3.org/2001/XMLSchema}"
KITH = "http://www.kith.no/xmlstds"
MSGHEAD = f"{KITH}/msghead/2006-05-24"
BASE64CONTAINER = f"{KITH}/base64container"
DIALOG_10 = f"{KITH}/dialog/2006-10-11"
DIALOG_11 = f"{KITH}/dialog/2013-01-23"
REFERRAL_10 = f"{KITH}/henvisning/2005-07-08"
REFERRAL_11 = f"{KITH}/henvisning/2012-02-15"
REFERRAL_20 = "http://ehelse.no/xmlstds/henvisning/2017-11-30"
APPREC_10 = f"{KITH}/apprec/2004-11-21"
APPREC_11 = f"{KITH}/apprec/2012-02-15"
XMLDSIG = "http://www.w3.org/2000/09/xmldsig#"

FILES: Mapping[str, str] = MappingProxyType(
    {
        KITH: "kith/1.0/kith.xsd",
        f"{KITH}/felleskomponent1": "felleskomponent/1.1/felleskomponent1.xsd",
        BASE64CONTAINER: "base64container/1.0/base64container.xsd",
        XMLDSIG: "xmldsig/1.0/xmldsig.xsd",
        MSGHEAD: "msghead/1.2/msghead.xsd",
        DIALOG_10: "dialogmelding/1.0/dialogmelding.xsd",
        DIALOG_11: "dialogmelding/1.1/dialogmelding.xsd",
        REFERRAL_10: "henvisning/1.0/henvisning.xsd",
        REFERRAL_11: "henvisning/1.1/henvisning.xsd",
        REFERRAL_20: "henvisning/2.0/henvisning.xsd",
        f"{KITH}/po/poKomponent/2009-06-30": "po/1.5/pokomponent.xsd",
        "http://ehelse.no/xmlstds/po/poKomponent/2017-11-30": "po/2.0/pokomponent.xsd",
        APPREC_10: "apprec/1.0/apprec.xsd",
        APPREC_11: "apprec/1.1/apprec.xsd",
    }
)

# The root element of each business document; MsgHead carries the first three.
ROOTS: Mapping[str, str] = MappingProxyType(
    {
        DIALOG_10: "Dialogmelding",
        DIALOG_11: "Dialogmelding",
        REFERRAL_20: "Henvisning",
        REFERRAL_10: "Message",
        REFERRAL_11: "Message",
        APPREC_10: "AppRec",
        APPREC_11: "AppRec",
        MSGHEAD: "MsgHead",
    }
)
_ENCLOSING = (f"{{{MSGHEAD}}}Content", f"{{{REFERRAL_11}}}Content")
MAX_FAULTS = 100  # lines kept of one log
BEGINNING = 4096  # characters: more than any format needs to be known by
WIDE = 1000  # children of one element, beyond which a faulty document gets one finding only
_has_many = etree.XPath(f"boolean(descendant-or-self::*[{WIDE + 1}])")
_find_wide = etree.XPath(f"descendant-or-self::*[*[{WIDE + 1}]]")
_MAX_FILE_BYTES = 2_000_000
_MAX_FILES = 500


class LogEntry(NamedTuple):
    """One line of the validator's log; ``message`` quotes content and must not leave ``explain``."""

    kind: str
    path: str
    line: int
    message: str


class Source(NamedTuple):
    """One schema document without locations: its tree and the namespaces that it imports."""

    root: Element
    imports: tuple[str, ...]


class Validator:
    """A compiled set. lxml keeps its log on the validator, so one document is checked at a time."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources = sources
        self._schema = compile_schema({namespace: serialise(source.root) for namespace, source in sources.items()})
        self._lock = threading.Lock()

    @functools.cached_property
    def explainer(self) -> Explainer:
        from adapter.validation.explain import Explainer  # takes half a second: only a faulty document pays for it

        return Explainer(self.sources)

    def accepts(self, root: Element) -> bool:
        """The verdict alone, in linear time."""
        with self._lock:
            return follows_schema(root, self._schema)

    def log(self, root: Element) -> list[LogEntry]:
        """The validator's complaints, at most MAX_FAULTS; empty for a valid document."""
        with self._lock:
            if self._schema.validate(root):
                return []
            lines: Any = self._schema.error_log
            first = itertools.islice(lines, MAX_FAULTS)
            return [LogEntry(line.type_name, line.path or "", line.line, line.message) for line in first]


class SchemaSet:
    """Schema documents by namespace, read and compiled when first needed. Safe to share between threads."""

    def __init__(self, files: Mapping[str, Path], *, ours: bool) -> None:
        self._files = files
        self._ours = ours
        self._sources: dict[str, Source] = {}
        self._validators: dict[frozenset[str], Validator] = {}
        self._lock = threading.Lock()

    def validator(self, namespaces: Iterable[str]) -> Validator:
        """The validator for documents of these namespaces and all that they import.

        Raises SettingsError when a schema is absent, unreadable, or does not fit the others.
        """
        wanted = frozenset(namespaces)
        with self._lock:
            if wanted not in self._validators:
                self._validators[wanted] = self._compile(wanted)
            return self._validators[wanted]

    def _compile(self, wanted: frozenset[str]) -> Validator:
        needed: dict[str, Source] = {}
        waiting = sorted(wanted)
        while waiting:
            namespace = waiting.pop()
            if namespace not in needed:
                needed[namespace] = self._source(namespace)
                waiting += needed[namespace].imports
        try:
            return Validator(needed)
        except etree.XMLSchemaParseError:
            cure = "restore the schemas" if self._ours else "correct the files in schemas.directory"
            raise SettingsError("the schemas do not fit together", code="SCHEMA", cure=cure) from None

    def _source(self, namespace: str) -> Source:
        if namespace not in self._sources:
            path = self._files.get(namespace)
            if path is None:
                raise SettingsError(f"no schema for {namespace}", code="SCHEMA", cure="complete schemas.directory")
            self._sources[namespace] = read_source(path, locations_allowed=not self._ours)
        return self._sources[namespace]


def schema_root() -> Path:
    """Where our schemas lie: within the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_share" / "schemas"
    return installed if installed.is_dir() else package.parent / "schemas"


def check_schema(
    root: Element, *, directory: Path | None = None, sound: dict[Element, str] | None = None
) -> list[Finding] | None:
    """Findings of a document against its schemas: empty when valid, None when its kind has no schema here.

    ``root`` is MsgHead or the root of a document without one. A MsgHead has the kind of its first body. Findings are
    errors with AppRec code T02 and the rules listed above; ``directory`` holds the official files instead of ours.
    ``sound`` is given the Base64Containers whose long texts were found to be base64, with the beginning of each.
    Raises SettingsError when the directory has no usable set.
    """
    namespaces = needed_namespaces(root)
    if namespaces is None:
        return None
    own, _, name = root.tag.rpartition("}")
    expected = ROOTS[own[1:]]
    if name != expected:
        return [_wrong_root(root, expected)]
    validator = schema_set(directory).validator(namespaces)
    with texts_out(root, _base64_in_short) as taken:
        if sound is not None:
            sound.update((box, text[:BEGINNING]) for box, text in taken)
        wide: Any = _find_wide(root) if _has_many(root) else []  # to ask the latter costs a tenth
        if wide and not validator.accepts(root):
            return [validator.explainer.crowd(root, wide[0])]
        log = validator.log(root)
        return validator.explainer.findings(root, log, validator.log) if log else []


def _base64_in_short(_number: int, text: str) -> str | None:
    """Megabytes of sound base64 are as valid as their last group; any other text is left for the schema to judge."""
    return last_group(text)


def needed_namespaces(root: Element) -> frozenset[str] | None:
    """The business namespaces that a document needs schemas for; None when its own kind has none.

    More than one known body in a document is rare and not worth a compiled set for each mixture: then all are taken.
    """
    own = root.tag.rpartition("}")[0][1:]
    if own not in ROOTS:
        return None
    tags = dict.fromkeys(body.tag for content in root.iter(*_ENCLOSING) for body in content)
    bodies = [tag.rpartition("}")[0][1:] for tag in tags if isinstance(tag, str)]  # in the order of their first
    if own == MSGHEAD and bodies and bodies[0] not in ROOTS and bodies[0] != BASE64CONTAINER:
        return None
    known = {namespace for namespace in bodies if namespace in ROOTS} - {own}
    return frozenset({BASE64CONTAINER, *(ROOTS if len(known) > 1 else known), own} if bodies else {own})


def schema_set(directory: Path | None = None) -> SchemaSet:
    """Our set, or the one in a directory; the same object for the same directory."""
    return _packaged() if directory is None else _from_directory(directory.resolve())


@functools.cache
def _packaged() -> SchemaSet:
    top = schema_root()
    return SchemaSet({namespace: top / path for namespace, path in FILES.items()}, ours=True)


@functools.lru_cache(maxsize=8)
def _from_directory(directory: Path) -> SchemaSet:
    # The W3C file for signatures has a DOCTYPE, which is refused in every XML file; ours stands in for it.
    files: dict[str, Path] = {XMLDSIG: schema_root() / FILES[XMLDSIG]}
    for path in sorted(directory.rglob("*.xsd"))[:_MAX_FILES]:
        namespace = _target_namespace(path)
        if namespace is None or namespace == XMLDSIG:
            continue
        if namespace in files and namespace in FILES:
            raise SettingsError(
                f"two schemas for {namespace}", code="SCHEMA", where=str(directory), cure="keep one of the files"
            )
        files[namespace] = path
    if MSGHEAD not in files:
        raise SettingsError(
            "no schema for MsgHead", code="SCHEMA", where=str(directory), cure="correct schemas.directory"
        )
    return SchemaSet(files, ours=False)


def _target_namespace(path: Path) -> str | None:
    try:
        return parse(_read(path)).get("targetNamespace")
    except UnreadableError:
        return None  # some other file; absence of a needed one is reported when it is needed


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise SettingsError("a schema file is too large", code="SCHEMA", where=str(path))
        return path.read_bytes()
    except OSError:
        raise SettingsError("a schema file cannot be read", code="SCHEMA", where=str(path)) from None


def read_source(path: Path, *, locations_allowed: bool) -> Source:
    """A schema document without its locations; ours may not have any. Raises SettingsError."""
    try:
        root = parse(_read(path))
    except UnreadableError as error:
        raise SettingsError("a schema file is not sound XML", code="SCHEMA", where=str(path)) from error
    for pointer in root.iter(f"{XS}import", f"{XS}include", f"{XS}redefine"):
        located = pointer.get("schemaLocation")
        pointer.attrib.pop("schemaLocation", "")
        if pointer.tag != f"{XS}import" or (located is not None and not locations_allowed):
            raise SettingsError(
                "a schema points to a file", code="SCHEMA", where=str(path), cure="import by namespace alone"
            )
    return Source(root, tuple(str(pointer.get("namespace", "")) for pointer in root.iter(f"{XS}import")))


def _wrong_root(root: Element, expected: str) -> Finding:
    return Finding(
        rule="XSD.unexpected",
        severity=Severity.ERROR,
        apprec="T02",
        path="/*",
        line=1,
        text=f"this element cannot be the root of a document; expected: {expected}",
        source="the schema of the namespace",
    )
