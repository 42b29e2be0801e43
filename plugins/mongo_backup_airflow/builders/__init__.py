"""From the user's objects to DAGs: the only place that knows Airflow's wiring."""
