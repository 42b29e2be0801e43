"""What Airflow is told of when a snapshot is complete: assets, on which any DAG may be scheduled.

`snapshots.<configuration>` gets an event for each complete snapshot. `unverified.<configuration>` gets one only when
so many are unverified as the configuration's `verification.after_backups` says; `verify.<configuration>` is scheduled
on it. An event of the latter comes by an alias, for an ordinary outlet has one whenever its task succeeds.
"""

from __future__ import annotations

from airflow.sdk import Asset, AssetAlias


def snapshots_asset(configuration: str) -> Asset:
    """The complete snapshots of a configuration."""
    return Asset(f"snapshots.{configuration}", group="mongo-backup")


def unverified_asset(configuration: str) -> Asset:
    """Snapshots that wait for a verification."""
    return Asset(f"unverified.{configuration}", group="mongo-backup")


def unverified_alias(configuration: str) -> AssetAlias:
    """By this a commit adds an event to `unverified_asset`, or does not."""
    return AssetAlias(f"unverified.{configuration}", group="mongo-backup")
