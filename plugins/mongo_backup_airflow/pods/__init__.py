"""Agent steps as pods: what the runner `kubernetes` is made of."""
