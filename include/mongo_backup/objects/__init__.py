"""The user's YAML objects: BackupStorage, AppBinding, Addon, BackupConfiguration, RetentionPolicy."""
