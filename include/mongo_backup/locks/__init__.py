"""Holding members at one cluster time, and letting them go again whatever happens."""
