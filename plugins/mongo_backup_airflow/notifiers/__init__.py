"""Telling people of runs by Airflow's own means: callbacks and deadline alerts."""
