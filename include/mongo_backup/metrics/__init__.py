"""What the outside is told about backups in numbers."""
