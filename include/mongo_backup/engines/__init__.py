"""Dump and restore engines: both write and read the archive format of mongodump."""
