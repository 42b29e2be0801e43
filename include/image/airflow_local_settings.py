"""For Airflows whose steps run in pods: loads Kubernetes' client once, and not in each task.

A file for `$AIRFLOW_HOME/config`. The processes named below fork a process for each task.
"""

from __future__ import annotations

import sys

if {"scheduler", "celery"} & set(sys.argv):
    import kubernetes.client  # noqa: F401
    import kubernetes_asyncio.client  # noqa: F401
