"""Measuring aiogate beside its peers, under load and over time. Nothing here is part of the wheel."""
