"""What HTTP says of answers that the gateway gives itself: validators, content codings, how long they may be kept."""
