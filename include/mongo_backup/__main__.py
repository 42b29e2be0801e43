"""`python -m mongo_backup` is the command `mongo-backup`."""

import sys

from mongo_backup.cli.main import main

sys.exit(main())
