"""What the adapter reads from Airflow's connections."""
