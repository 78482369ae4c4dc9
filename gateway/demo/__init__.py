"""Sample services and the command that starts them together with a gateway: `gateway demo`."""
