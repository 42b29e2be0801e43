from __future__ import annotations

import ssl
import stat
from pathlib import Path

from sandbox.tls import make_tls


def test_the_key_is_private_and_the_certificate_verifies_for_the_loopback_address(tmp_path: Path) -> None:
    files = make_tls(tmp_path / "tls")
    assert stat.S_IMODE(files.key_file.stat().st_mode) == 0o600
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(files.ca_file))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    server.load_cert_chain(files.key_file)
    # A handshake in memory: two ends that hand each other their bytes.
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert ends[0].getpeercert() is not None
    assert ends[0].version() == "TLSv1.3"
