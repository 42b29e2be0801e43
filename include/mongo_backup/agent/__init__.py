"""The commands that every step of every DAG runs: typed request in, typed result out."""
