"""A second opinion on a signature, by signxml: another engine, asked the same question.

For ``adapter verify --second-opinion`` and the tests; nothing in a journey depends on it. signxml's own mistakes that
are known are put right from outside: an element is canonicalised as the root of a tree of its own (lxml writes a false
xmlns="" otherwise), with the xml: attributes that C14N 1.0 lets it inherit. Its log is held at INFO, because at DEBUG
it writes out whole documents.
"""

from __future__ import annotations

import logging
from typing import Any

from cryptography import x509
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.verifier import SignatureConfiguration, XMLVerifier

import adapter.xmlio as xmlio

_XML = "{http://www.w3.org/XML/1998/namespace}"
logging.getLogger("signxml").setLevel(logging.INFO)


class RerootingVerifier(XMLVerifier):
    """signxml's verifier with a correct inclusive C14N of SignedInfo."""

    _inherited: dict[str, str]

    def get_root(self, data: Any) -> Any:
        root: Any = super().get_root(data)  # type: ignore[no-untyped-call]
        self._inherited = _xml_attributes(root)
        return root

    def _c14n(
        self, nodes: Any, algorithm: CanonicalizationMethod, inclusive_ns_prefixes: list[str] | None = None
    ) -> bytes:
        above = nodes.getparent() if isinstance(nodes, etree._Element) else None
        if above is not None:
            nodes = xmlio.reroot(nodes)
            if not algorithm.value.startswith("http://www.w3.org/2001/10/xml-exc-c14n#"):
                for name, value in {**self._inherited, **_xml_attributes(above)}.items():
                    if name not in nodes.attrib:
                        nodes.set(name, value)
        octets: bytes = super()._c14n(nodes, algorithm, inclusive_ns_prefixes)
        return octets


def _xml_attributes(element: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in element.items() if str(name).startswith(_XML)}


def second_opinion(document: bytes, certificate: x509.Certificate, *, allow_sha1: bool = False) -> str | None:
    """None when signxml finds the enveloped signature sound and by ``certificate``; else the kind of its objection.

    Trust and validity are not asked. The objection is the name of an exception class, never a text (P21).
    """
    names = ("RSA_SHA256", "RSA_SHA384", "RSA_SHA512", *(("RSA_SHA1",) if allow_sha1 else ()))
    digests = ("SHA256", "SHA384", "SHA512", *(("SHA1",) if allow_sha1 else ()))
    asked = SignatureConfiguration(
        location="./",
        expect_references=1,
        signature_methods=frozenset(SignatureMethod[name] for name in names),
        digest_algorithms=frozenset(DigestAlgorithm[name] for name in digests),
        ignore_ambiguous_key_info=True,
        verification_time=certificate.not_valid_before_utc,
    )
    try:
        RerootingVerifier().verify(document, x509_cert=certificate, expect_config=asked, parser=xmlio.parser())
    except (SignXMLException, etree.LxmlError, ValueError, TypeError) as error:
        return type(error).__name__
    return None
