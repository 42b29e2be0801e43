"""The archive format of mongodump (`--archive`): reader and writer."""
