"""Signing and verifying against signxml and python-xmlsec, bytes to bytes, in interleaved rounds.

floor = SHA-256 of the bytes + one RSA-2048 signature with the same library. Every engine parses the bytes it is given,
has its key loaded before, and writes bytes when it signs. The message is synthetic; its bulk is one attachment.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pybase64
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from adapter import xmlio
from adapter.security import xmldsig
from adapter.security.demo_ca import DemoCa, write_pkcs12
from adapter.security.keys import SigningKey, load_pkcs12
from tests.security import oracles

SIZES = {"6 KB": (0, 20, 31), "1 MB": (740_000, 3, 11), "20 MB": (15_000_000, 1, 5)}  # attachment, repeats, rounds
SIGN_BOUNDS = {"6 KB": 1.7, "1 MB": 3.0, "20 MB": 3.0}
Row = tuple[str, float, float | None, str]
Task = Callable[[], object]


def document(attachment_bytes: int) -> bytes:
    """A head, a body with some 60 elements, and an attachment: about 6 KB without it."""
    line = '<b:Line V="{0}" S="2.16.578.1.12.4.1.1.8116"><b:Text>Synthetic sentence number {0}, æøå.</b:Text></b:Line>'
    body = "".join(line.format(number) for number in range(52))
    attached = pybase64.b64encode(os.urandom(attachment_bytes)).decode() if attachment_bytes else "JVBERi0="
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<MsgHead xmlns="urn:bench:head" xmlns:b="urn:bench:body" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><MsgInfo><MsgId>0</MsgId></MsgInfo><Document>'
        f"<b:Body>{body}</b:Body></Document><Document><base:Base64Container "
        f'xmlns:base="http://www.kith.no/xmlstds/base64container">{attached}</base:Base64Container></Document></MsgHead>'
    ).encode()


def timed(tasks: dict[str, Task], repeats: int, rounds: int) -> dict[str, list[float]]:
    """CPU seconds per round and task; the tasks take turns, and one unmeasured turn goes before."""
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(rounds + 1):
        for name, task in tasks.items():
            started = time.process_time()
            for _ in range(repeats):
                task()
            if number:
                taken[name].append((time.process_time() - started) / repeats)
    return taken


def ratio(taken: dict[str, list[float]], other: str, ours: str) -> float:
    """The median over the rounds of other / ours."""
    return statistics.median(theirs / own for theirs, own in zip(taken[other], taken[ours], strict=True))


def _signers(data: bytes, key: SigningKey) -> dict[str, Task]:
    form = oracles.Form()

    def floor() -> None:
        key.private_key.sign(hashlib.sha256(data).digest(), padding.PKCS1v15(), hashes.SHA256())

    tasks: dict[str, Task] = {
        "floor": floor,
        "ours": lambda: xmldsig.sign_document(data, key),
        "signxml": lambda: oracles.sign_with_signxml(data, key, form),
    }
    if oracles.missing("python-xmlsec") is None:
        sign = oracles.xmlsec_signer(key, form)
        tasks["xmlsec"] = lambda: sign(data)
    return tasks


def _verifiers(signed: bytes, key: SigningKey) -> dict[str, Task]:
    certificate = key.certificate
    tasks: dict[str, Task] = {
        "ours": lambda: xmldsig.verify(xmlio.parse(signed), pinned=certificate),
        "signxml": lambda: oracles.verify_with_signxml(signed, certificate),
    }
    if oracles.missing("python-xmlsec") is None:
        verify = oracles.xmlsec_verifier(certificate)
        tasks["xmlsec"] = lambda: verify(signed)
    return tasks


def rows() -> Iterator[Row]:
    """Ratios to the other engines and to the floor, and the peak memory at 20 MB in multiples of the message."""
    key = DemoCa.create().issue_company("Bench", "974760673")
    for name, (size, repeats, rounds) in SIZES.items():
        data = document(size)
        taken = timed(_signers(data, key), repeats, rounds)
        yield f"sign {name}: faster than signxml", ratio(taken, "signxml", "ours"), SIGN_BOUNDS[name], ">="
        if "xmlsec" in taken:
            yield f"sign {name}: faster than python-xmlsec", ratio(taken, "xmlsec", "ours"), 1.0, ">="
        yield f"sign {name}: multiple of SHA-256 + RSA", ratio(taken, "ours", "floor"), None, "x"
        taken = timed(_verifiers(xmldsig.sign_document(data, key), key), repeats, rounds)
        yield f"verify {name}: faster than signxml", ratio(taken, "signxml", "ours"), 2.5, ">="
        if "xmlsec" in taken:
            yield f"verify {name}: faster than python-xmlsec", ratio(taken, "xmlsec", "ours"), 1.0, ">="
    for step in ("sign", "verify"):
        yield f"{step} 20 MB: peak memory beyond the message, in messages", peak(step), 4.0, "<="


def peak(step: str) -> float:
    """Peak memory of one step on a 20 MB message in a fresh process, in multiples of the message."""
    root = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory() as folder:
        file, key_file = Path(folder, "message.xml"), Path(folder, "key.p12")
        key = DemoCa.create().issue_company("Bench", "974760673")
        write_pkcs12(key, key_file)
        data = document(SIZES["20 MB"][0])
        file.write_bytes(xmldsig.sign_document(data, key) if step == "verify" else data)
        command = [sys.executable, "-m", "tests.bench.bench_signature", step, str(file), str(key_file)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout)


def _peak_here(step: str, file: Path, key_file: Path) -> float:
    key = load_pkcs12(key_file, None, "company")
    xmldsig.verify(xmlio.parse(xmldsig.sign_document(document(0), key)))
    data = file.read_bytes()
    Path("/proc/self/clear_refs").write_text("5")  # from here on the high-water mark counts anew
    base = _status_bytes("VmRSS")
    if step == "sign":
        xmldsig.sign_document(data, key)
    else:
        xmldsig.verify(xmlio.parse(data))
    return (_status_bytes("VmHWM") - base) / len(data)


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    print(_peak_here(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
