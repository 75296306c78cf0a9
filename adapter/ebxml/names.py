"""Namespaces and fixed values of ebMS 2.0 as the Norwegian framework uses it (HIS 1037:2011, standards digest 3).

Everything is compared by namespace; prefixes mean nothing. Attributes of ebMS elements are qualified: ``eb:type`` and
an unprefixed ``type`` are different attributes.
"""

from __future__ import annotations

import re
from enum import StrEnum

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
EB = "http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd"
XLINK = "http://www.w3.org/1999/xlink"
DS = "http://www.w3.org/2000/09/xmldsig#"
XML = "http://www.w3.org/XML/1998/namespace"
NSMAP = {"SOAP": SOAP, "eb": EB, "xlink": XLINK}

SIGNAL_SERVICE = "urn:oasis:names:tc:ebxml-msg:service"
ERROR_CONTEXT = "urn:oasis:names:tc:ebxml-msg:service:errors"
ACTOR_TO_PARTY = "urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH"
ACTOR_NEXT_MSH = "urn:oasis:names:tc:ebxml-msg:actor:nextMSH"
ACTOR_NEXT = "http://schemas.xmlsoap.org/soap/actor/next"
VERSION = "2.0"
SOAP_ACTION = '"ebXML"'

UTF8_NAMES = frozenset({"utf-8", "utf8", "us-ascii"})

HER = "HER"
ORGANISATION_TYPES = frozenset({"ENH", "orgnummer", "ORGNUMMER"})  # all three hold the nine-digit number

ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
XPATH = "http://www.w3.org/TR/1999/REC-xpath-19991116"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
EXCLUSIVE_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
CANONICAL = frozenset({C14N, C14N + "#WithComments", EXCLUSIVE_C14N, EXCLUSIVE_C14N + "WithComments"})
DIGESTS = frozenset({"http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2000/09/xmldsig#sha1"})
SIGNATURES = frozenset(
    {"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2000/09/xmldsig#rsa-sha1"}
)

_MESSAGE_ID = re.compile(
    r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"  # UUID
    r"|<?[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,200}@[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\[\]:-]{1,200}>?"  # RFC 2822 msg-id
)


class Kind(StrEnum):
    """What a message is; the values are those of ``adapter open``."""

    PAYLOAD = "payload"
    ACKNOWLEDGMENT = "Acknowledgment"
    MESSAGE_ERROR = "MessageError"
    PING = "Ping"
    PONG = "Pong"
    STATUS_REQUEST = "StatusRequest"
    STATUS_RESPONSE = "StatusResponse"


SIGNALS = {kind.value: kind for kind in Kind if kind is not Kind.PAYLOAD}


class ErrorCode(StrEnum):
    """The nine codes of ebMS 2.0 (4.2.3.4); there are no national ones, and none of its own for decryption."""

    VALUE_NOT_RECOGNIZED = "ValueNotRecognized"
    NOT_SUPPORTED = "NotSupported"
    INCONSISTENT = "Inconsistent"
    OTHER_XML = "OtherXml"
    DELIVERY_FAILURE = "DeliveryFailure"
    TIME_TO_LIVE_EXPIRED = "TimeToLiveExpired"
    SECURITY_FAILURE = "SecurityFailure"
    MIME_PROBLEM = "MimeProblem"
    UNKNOWN = "Unknown"


class Road(StrEnum):
    """How bytes came; a bare envelope has none."""

    SMTP = "smtp"
    HTTP = "http"


def eb(name: str) -> str:
    return f"{{{EB}}}{name}"


def soap(name: str) -> str:
    return f"{{{SOAP}}}{name}"


def ds(name: str) -> str:
    return f"{{{DS}}}{name}"


def xlink(name: str) -> str:
    return f"{{{XLINK}}}{name}"


def namespace_of(name: str) -> str | None:
    """The namespace of a qualified name (``{uri}local``), None without one."""
    return name[1 : name.index("}")] if name[:1] == "{" else None


def is_message_id(text: str | None) -> bool:
    """A UUID or an RFC 2822 msg-id, with nothing around it (HITS 1172 rules 102, 108, 122; relaxed 11/2019)."""
    return text is not None and _MESSAGE_ID.fullmatch(text) is not None
