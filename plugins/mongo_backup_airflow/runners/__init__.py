"""Where a step runs: as a process of the worker, later as a pod."""
