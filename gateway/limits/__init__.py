"""How much one client may ask for: rates, the memory of what was taken, and how clients are told."""
