"""The envelope's signature beside python-xmlsec and warm Apache Santuario, bytes to bytes, on the same bytes.

CPU seconds in interleaved rounds. Every engine parses the envelope it is given, has its key loaded, and writes bytes
when it signs. Java counts the working thread alone, compiled and warm: neither its compiler nor its collector.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lxml import etree

from adapter import xmlio
from adapter.ebxml.build import build
from adapter.security.demo_ca import DemoCa
from adapter.security.envelope_signature import sign_envelope, verify_envelope
from adapter.security.keys import SigningKey
from tests.bench.bench_signature import ratio
from tests.bench.ebxml_steps import payload_words
from tests.security import oracles
from tests.security.envelopes import EXPRESSION
from tests.security.oracles import DS

SIZES = {"6 KB": (6_000, 20, 15, 2_000), "1 MB": (1_000_000, 5, 9, 100)}  # attachment, repeats, rounds, to warm up
BOUNDS = {"6 KB": 1.8, "1 MB": 1.0}  # verifying: at most so many times Santuario
NAME = "document@bench"
Row = tuple[str, float, float | None, str]
Taken = dict[str, list[float]]


def rows() -> Iterator[Row]:
    key = DemoCa.create().issue_company("Bench", "974760673")
    unsigned = xmlio.serialise(build(payload_words("00000000-0000-4000-8000-000000000001", NAME)))
    java = oracles.start_santuario()
    for size, (octets, repeats, rounds, warm_up) in SIZES.items():
        task = Task(key=key, unsigned=unsigned, parts={NAME: os.urandom(octets)}, repeats=repeats)
        with tempfile.TemporaryDirectory() as folder:
            engines: list[Any] = [Ours(task)]
            engines += [Xmlsec(task)] if oracles.missing("python-xmlsec") is None else []
            engines += [Santuario(task, java, Path(folder), warm_up)] if java is not None else []
            yield from compare("sign", size, interleaved("sign", engines, rounds), 1.0)
            yield from compare("verify", size, interleaved("verify", engines, rounds), BOUNDS[size])
    if java is not None:
        java.kill()
        java.wait()


def compare(step: str, size: str, taken: Taken, bound: float) -> Iterator[Row]:
    name = f"{step} an envelope with {size}"
    yield (f"{name}", statistics.median(taken["ours"]) * 1000, None, "ms CPU")
    for engine, limit in (("python-xmlsec", None if step == "verify" else 1.0), ("Santuario", bound)):
        if engine in taken:
            how = "<=" if limit is not None else "(printed)"
            yield (f"{name}, x {engine}", ratio(taken, "ours", engine), limit, how)
        else:
            reason = oracles.missing("python-xmlsec" if engine == "python-xmlsec" else "santuario")
            yield (f"{name}, x {engine}", float("nan"), None, f"not here: {reason}")


@dataclass(frozen=True, kw_only=True)
class Task:
    key: SigningKey
    unsigned: bytes
    parts: Mapping[str, bytes]
    repeats: int


def interleaved(step: str, engines: list[Any], rounds: int) -> Taken:
    """CPU seconds a turn by engine and round; one unmeasured round goes before."""
    taken: Taken = {engine.name: [] for engine in engines}
    for number in range(rounds + 1):
        for engine in engines:
            seconds = getattr(engine, step)()
            if number:
                taken[engine.name].append(seconds)
    return taken


class _Here:
    """An engine in this process: ``sign_once`` and ``verify_once`` do it."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.signed = sign_envelope(xmlio.parse(task.unsigned), task.key, task.parts)

    def sign(self) -> float:
        return self._timed(self.sign_once)

    def verify(self) -> float:
        return self._timed(self.verify_once)

    def _timed(self, work: Any) -> float:
        begin = time.process_time()
        for _ in range(self.task.repeats):
            work()
        return (time.process_time() - begin) / self.task.repeats

    def sign_once(self) -> object:
        raise NotImplementedError

    def verify_once(self) -> object:
        raise NotImplementedError


class Ours(_Here):
    name = "ours"

    def sign_once(self) -> object:
        return sign_envelope(xmlio.parse(self.task.unsigned), self.task.key, self.task.parts)

    def verify_once(self) -> object:
        return verify_envelope(xmlio.parse(self.signed), self.task.parts, pinned=self.task.key.certificate)


class Xmlsec(_Here):
    name = "python-xmlsec"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        import xmlsec

        from tests.security.test_envelope_oracles import Attachments

        self.xmlsec: Any = xmlsec
        attachments = Attachments()
        attachments.parts = dict(task.parts)
        xmlsec.cleanup_callbacks()
        xmlsec.register_callbacks(attachments.matches, attachments.open, attachments.read, attachments.close)
        private = task.key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        certificate = task.key.certificate.public_bytes(Encoding.PEM)
        self.private = self.xmlsec.Key.from_memory(private, self.xmlsec.KeyFormat.PEM)
        self.private.load_cert_from_memory(certificate, self.xmlsec.KeyFormat.PEM)
        self.public = self.xmlsec.Key.from_memory(certificate, self.xmlsec.KeyFormat.CERT_PEM)

    def sign_once(self) -> object:
        template, kinds = self.xmlsec.template, self.xmlsec.Transform
        root = etree.fromstring(self.task.unsigned)
        node = template.create(root, kinds.C14N, kinds.RSA_SHA256, ns="ds")
        root[0].append(node)
        reference = template.add_reference(node, kinds.SHA256, uri="")
        template.add_transform(reference, kinds.ENVELOPED)
        step = template.add_transform(reference, kinds.XPATH)
        etree.SubElement(step, f"{{{DS}}}XPath").text = EXPRESSION
        template.add_transform(reference, kinds.C14N)
        template.add_reference(node, kinds.SHA256, uri=f"cid:{NAME}")
        template.add_x509_data(template.ensure_key_info(node))
        context = self.xmlsec.SignatureContext()
        context.key = self.private
        context.sign(node)
        return etree.tostring(root)

    def verify_once(self) -> object:
        root = etree.fromstring(self.signed)
        context = self.xmlsec.SignatureContext()
        context.key = self.public
        return context.verify(self.xmlsec.tree.find_node(root, "Signature", DS))


class Santuario:
    name = "Santuario"

    def __init__(self, task: Task, process: subprocess.Popen[str], folder: Path, warm_up: int) -> None:
        files = {name: str(folder / name) for name in ("in", "out", "key", "certificate", "part", "signed")}
        private = task.key.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        contents = {
            "in": task.unsigned,
            "key": private,
            "certificate": task.key.certificate.public_bytes(Encoding.DER),
            "part": task.parts[NAME],
            "signed": sign_envelope(xmlio.parse(task.unsigned), task.key, task.parts),
        }
        for name, content in contents.items():
            Path(files[name]).write_bytes(content)
        self.process, self.files, self.repeats = process, files, task.repeats
        for step in (self.sign, self.verify):
            step(warm_up)

    def sign(self, repeats: int = 0) -> float:
        files = self.files
        paths = [files[name] for name in ("in", "out", "key", "certificate")]
        return self._ask("sign-envelope", repeats, *paths, EXPRESSION, NAME, files["part"])

    def verify(self, repeats: int = 0) -> float:
        return self._ask("verify-envelope", repeats, self.files["signed"], NAME, self.files["part"])

    def _ask(self, what: str, repeats: int, *fields: str) -> float:
        answer = oracles.ask(self.process, what, str(repeats or self.repeats), *fields)
        said, _, nanoseconds = answer.partition(" ")
        assert said in ("sound", "done"), answer
        return int(nanoseconds) / 1e9
