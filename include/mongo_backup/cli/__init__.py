"""The command line: `mongo-backup`."""
