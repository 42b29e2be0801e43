"""Complete sets in further repositories: which are to be copied, how one is, and what the copy keeps."""
