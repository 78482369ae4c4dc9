"""State that the gateway's instances share, and its embedded default."""
