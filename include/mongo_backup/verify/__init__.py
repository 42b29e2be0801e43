"""Reading a target back and comparing it with a manifest."""
