"""Back up and restore MongoDB exactly: the core. It knows neither Airflow nor Kubernetes."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("mongo-backup")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"
