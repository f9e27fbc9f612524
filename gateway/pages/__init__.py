"""The few pages that the gateway serves itself: signing in, and letting devices in."""
