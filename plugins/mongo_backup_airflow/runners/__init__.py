"""Where a step runs: as a process of the worker, or as a pod."""
