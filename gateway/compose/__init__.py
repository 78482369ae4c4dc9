"""Composition: one answer out of several services' answers."""
