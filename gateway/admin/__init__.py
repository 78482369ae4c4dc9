"""The admin listener: health, metrics, API."""
