"""Real MongoDB, S3 store and Airflow on this machine: the demo and the tests stand on it."""
