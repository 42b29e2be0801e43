"""`make kubernetes-binaries`: everything that the test cluster is made of, into the cache, before it is needed.

May run beside other tests: it is nice to them, and whoever needs something of it waits for it.
"""

from __future__ import annotations

import logging
import sys

from mongo_backup.errors import MongoBackupError
from sandbox.kubernetes.agent_image import agent_layers
from sandbox.kubernetes.binaries import cache_folder, install_debian_packages, kubernetes_programs
from sandbox.kubernetes.images import pause_layer
from sandbox.kubernetes.server_image import server_layer


def main() -> int:
    """Build what is missing; the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        install_debian_packages()
        kubernetes_programs()
        pause_layer(cache_folder("images"))
        agent_layers()
        server_layer()
    except MongoBackupError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
