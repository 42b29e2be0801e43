"""One module per step, or a few that belong together: typed request in, typed result out."""
