"""No DAG of its own: shows what is wrong with the objects as an import error in Airflow's UI.

An exception in one of the files that make the DAGs would take all of them away; here it takes away nothing.
"""

from pathlib import Path

from mongo_backup_airflow.builders.family import check_objects

check_objects(Path(__file__).resolve().parent)
