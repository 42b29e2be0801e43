"""Nothing but the place of Airflow's own files."""

from tests import airflow_home

airflow_home.set_up()
