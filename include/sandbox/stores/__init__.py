"""Stores besides S3 on this machine: real servers, and a wire to each that can be cut."""
