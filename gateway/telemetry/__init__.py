"""What the gateway tells about itself: metrics and log records, and where they go."""
