"""The ebXML road by mail: an SMTP server (aiosmtpd) that takes what is addressed to a partner."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

SIZE_LIMIT = 60_000_000
START_S = 10.0


class SmtpServer:
    """Listens on a free loopback port from ``start`` to ``stop``; mails are taken in a thread of its own."""

    def __init__(self, knows: Callable[[str], bool], take: Callable[[str, bytes], object], port: int = 0) -> None:
        """``knows``: is there such an address? ``take``: receiver's address and mail."""
        self._knows = knows
        self._take = take
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port = int(self._socket.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._serving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulator-smtp", daemon=True)

    def start(self) -> None:
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        self._thread.start()
        if not self._serving.wait(START_S):
            raise TimeoutError("the SMTP server does not start")

    def stop(self) -> None:
        """End all sessions; may be called once."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(START_S)
        self._socket.close()

    def _run(self) -> None:
        from aiosmtpd.smtp import SMTP

        def session() -> Any:
            return SMTP(self, data_size_limit=SIZE_LIMIT, hostname="simulator", loop=self._loop)

        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(self._loop.create_server(session, sock=self._socket))
        self._serving.set()
        self._loop.run_forever()
        server.close()
        waiting = asyncio.all_tasks(self._loop)
        for task in waiting:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*waiting, return_exceptions=True))
        self._loop.close()

    # -- called by aiosmtpd --------------------------------------------------------------------------------------------

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        if not self._knows(address):
            return "550 5.1.1 no such address here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        for address in envelope.rcpt_tos:
            self._take(address, envelope.original_content)
        return "250 2.0.0 OK: taken"
