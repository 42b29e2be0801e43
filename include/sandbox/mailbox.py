"""An SMTP server on this machine that keeps what comes: what mails are sent to."""

from __future__ import annotations

import socketserver
import threading
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import Parser
from email.policy import default
from types import TracebackType


@dataclass
class Mailbox:
    """Takes every mail (as much of RFC 5321 as that needs)."""

    mails: list[EmailMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, name="mailbox", daemon=True)

    @property
    def connection(self) -> dict[str, object]:
        """The Airflow Connection that leads here."""
        host, port = self._server.server_address[:2]
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "backup@shop.example"}
        return {"conn_type": "smtp", "host": host, "port": port, "extra": extra}

    def _handler(self) -> type[socketserver.StreamRequestHandler]:
        mailbox = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 here\r\n")
                for line in self.rfile:
                    word, text = line.strip().upper(), ""
                    if word == b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        while (part := self.rfile.readline()) not in (b".\r\n", b""):
                            text += part.decode()
                        mailbox.mails.append(Parser(policy=default).parsestr(text))
                    self.wfile.write(b"250 fine\r\n" if word != b"QUIT" else b"221 bye\r\n")

        return Handler

    def __enter__(self) -> Mailbox:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def page(mail: EmailMessage) -> str:
    """The HTML of a mail."""
    (found,) = (part.get_content() for part in mail.walk() if part.get_content_type() == "text/html")
    return str(found)
