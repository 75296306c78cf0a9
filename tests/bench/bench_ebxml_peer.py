"""Beside pyas2-lib, the nearest Python peer: sign, encrypt and pack a document, and the way back, in one run.

CPU seconds in interleaved rounds. AS2 signs and encrypts with CMS and packs for HTTP; ebXML encrypts with CMS, signs
the envelope and the ciphertext, and packs for mail (base64). Keys of the same size, AES-256 and SHA-256 in both.
AS2 has nothing like HITS 1172's rules on the envelope, so the way back is measured without them, and printed with them.
"""

from __future__ import annotations

import importlib
import random
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from adapter.security.keys import SigningKey
from tests.bench.bench_signature import document, ratio, timed
from tests.bench.ebxml_steps import Incoming, Keys, Outgoing, make_world

SIZES = {"6 KB": (0, 5, 9, 4.0), "1 MB": (740_000, 1, 7, 8.0), "20 MB": (15_000_000, 1, 5, 8.0)}
Row = tuple[str, float, float | None, str]


def rows() -> Iterator[Row]:
    try:
        peer: Any = load()
    except Exception as error:  # noqa: BLE001  (whatever keeps it from starting is the answer)
        for size in SIZES:
            yield (f"pyas2-lib {size}, build and parse", float("nan"), None, f"not here: {type(error).__name__}")
        return
    with TemporaryDirectory() as folder:
        world = make_world(Path(folder))
    outgoing, incoming, other = Outgoing(world=world), Incoming.of(world.keys), Peer(peer, world.keys)
    random.seed(1)
    for size, (attachment, repeats, rounds, bound) in SIZES.items():
        content = document(attachment)
        mail, theirs = outgoing.seal(content), other.build(content)
        assert incoming.unseal_alone(mail).content == content
        assert other.parse(theirs) == content
        tasks: dict[str, Any] = {
            "seal": lambda content=content: outgoing.seal(content),
            "build": lambda content=content: other.build(content),
            "unseal": lambda mail=mail: incoming.unseal_alone(mail),
            "judged": lambda mail=mail: incoming.unseal(mail),
            "parse": lambda theirs=theirs: other.parse(theirs),
        }
        taken = timed(tasks, repeats, rounds)
        yield (f"sign, encrypt, pack {size}: faster than pyas2-lib", ratio(taken, "build", "seal"), bound, ">=")
        yield (f"unpack, decrypt, verify {size}: faster than pyas2-lib", ratio(taken, "parse", "unseal"), bound, ">=")
        yield (f"the same {size} with the rules of ebXML judged", ratio(taken, "parse", "judged"), None, "(printed)")


def load() -> Any:
    """pyas2lib's module; its oscrypto 1.3.0 does not understand two digits at the end of OpenSSL's version."""
    known, search = r"\b(\d\.\d\.\d[a-z]*)\b", re.search

    def tolerant(pattern: Any, *rest: Any) -> Any:
        return search(r"\b(\d\.\d\.\d+[a-z]*)\b" if pattern == known else pattern, *rest)

    re.search = tolerant  # type: ignore[assignment]
    try:
        as2 = importlib.import_module("pyas2lib.as2")
    finally:
        re.search = search
    return as2


class Peer:
    """Two AS2 parties with our keys; certificates are pinned, not checked against a chain, as ours are here."""

    def __init__(self, as2: Any, keys: Keys) -> None:
        self.as2 = as2
        options = {"encrypt": True, "enc_alg": "aes_256_cbc", "sign": True, "digest_alg": "sha256"}
        options |= {"validate_certs": False}
        self.we = as2.Organization(as2_name="a", sign_key=_pem(keys.theirs), domain="bench.invalid")
        self.they = as2.Partner(as2_name="b", encrypt_cert=_certificate(keys.opening), **options)
        self.receiver = as2.Organization(as2_name="b", decrypt_key=_pem(keys.opening), domain="bench.invalid")
        self.sender = as2.Partner(as2_name="a", verify_cert=_certificate(keys.theirs), **options)

    def build(self, content: bytes) -> bytes:
        message = self.as2.Message(self.we, self.they)
        message.build(content, content_type="application/octet-stream")
        whole: bytes = message.headers_str + b"\r\n" + message.content
        return whole

    def parse(self, whole: bytes) -> bytes:
        message = self.as2.Message()
        status, error, _ = message.parse(whole, lambda _: self.receiver, lambda _: self.sender)
        assert status == "processed", error
        content: bytes = message.content
        return content


def _pem(key: SigningKey) -> bytes:
    return key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + _certificate(key)


def _certificate(key: SigningKey) -> bytes:
    return key.certificate.public_bytes(Encoding.PEM)
