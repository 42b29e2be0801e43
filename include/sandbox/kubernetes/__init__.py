"""A real Kubernetes of one node on this machine, in namespaces of its own: tests and the demo run pods in it."""

from sandbox.kubernetes.cluster import KubernetesCluster

__all__ = ["KubernetesCluster"]
