"""Hooks: HTTP requests, programs and database commands before and after a run."""
