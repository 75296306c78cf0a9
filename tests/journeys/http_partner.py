"""The light partner by HTTP: it acknowledges in the response or cuts the connection, and posts until it is heard."""

from __future__ import annotations

import queue
import threading
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from adapter.ebxml.opening import open_http
from adapter.ebxml.pack import Attachment, pack_http
from tests.journeys.mail_partner import Partner

PAUSE_S = 0.02  # before it posts again what was not answered


class Wire:
    """A server for what we send to the partner, and a thread that posts what it writes, each until its answer came."""

    def __init__(self, our_port: int) -> None:
        self.partner: Partner
        self._our_port = our_port
        self._notes: queue.Queue[bytes] = queue.Queue()
        self._stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._endpoint())
        self._server.daemon_threads = True
        self._threads = [
            threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True),
            threading.Thread(target=self._post_all, daemon=True),
        ]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/ebxml"

    def start(self, partner: Partner) -> None:
        self.partner = partner
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join(10)

    def write(self, document: bytes) -> None:
        self._notes.put(document)

    def _endpoint(self) -> type[BaseHTTPRequestHandler]:
        wire = self

        class Endpoint(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                said = wire.partner.answer(open_http(self.headers.items(), body))
                if said is None:
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/xml; charset=UTF-8")
                self.send_header("SOAPAction", '"ebXML"')
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                pass

        return Endpoint

    def _post_all(self) -> None:
        """Each note until its Acknowledgment came; by chance the answer is lost, and the note goes once more."""
        while not self._stopping.is_set():
            try:
                document = self._notes.get(timeout=PAUSE_S)
            except queue.Empty:
                continue
            envelope, attached = self.partner.seal(document)
            loses = self.partner.chance.random() < self.partner.doubles
            while not self._stopping.is_set():
                if not self._post(envelope, attached):
                    self._stopping.wait(PAUSE_S)
                elif loses:
                    loses = False
                else:
                    break

    def _post(self, envelope: bytes, attached: Attachment) -> bool:
        """True when an Acknowledgment came back."""
        new_id = self.partner.new_id
        packed = pack_http(envelope, [attached], boundary=f"b-{new_id()}", content_id=f"{new_id()}@partner")
        headers: dict[str, Any] = dict(packed.headers)
        connection = HTTPConnection("127.0.0.1", self._our_port, timeout=10)
        try:
            connection.request("POST", "/ebxml", packed.body(), headers)
            reply = connection.getresponse()
            body = reply.read()
        except (OSError, HTTPException):
            return False  # the worker is dead, or died on it
        finally:
            connection.close()
        if reply.status != 200:
            return False
        self.partner.keep_receipt(open_http(reply.getheaders(), body))
        return True
