"""What the machine and the services around have that a configuration needs: facts, checks, and what to type."""
