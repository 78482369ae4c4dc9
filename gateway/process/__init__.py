"""The running process: what it owns, how it starts, reloads and stops."""
