"""The steps of the DAGs as operators."""
