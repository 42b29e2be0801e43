"""The manifest: one document that says what a set is and all that a restore needs."""
