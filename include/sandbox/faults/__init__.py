"""The fault matrix: every step of a backup and of a restore, disturbed in every way, each judged by the same judge."""
