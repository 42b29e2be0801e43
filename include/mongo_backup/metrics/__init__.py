"""What Prometheus is told: one module for each subject, one way to push (`push`)."""
