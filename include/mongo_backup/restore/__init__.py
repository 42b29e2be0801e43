"""From a set in the repository back into a MongoDB: plan, drop, collections, documents, routing, indexes."""
