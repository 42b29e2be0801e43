"""restic: storage, encryption, deduplication; sets of snapshots."""
