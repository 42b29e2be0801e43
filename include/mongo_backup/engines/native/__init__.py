"""The native engine: a dump in plain Python on raw command replies, at a cluster time, no document decoded."""

from mongo_backup.engines.native.dump import dump

__all__ = ["dump"]
