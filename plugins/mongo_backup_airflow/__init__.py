"""The Airflow adapter: operators, runners and DAG builders around the core."""
