"""From a request to its route: paths, patterns, predicates, the trie, and why. Pure functions and immutable tables."""
