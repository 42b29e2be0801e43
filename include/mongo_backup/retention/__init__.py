"""Which sets are kept, and the removal of the others."""
