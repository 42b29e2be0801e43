"""Which members a deployment has, whether it is what was declared, and which member to read from."""
