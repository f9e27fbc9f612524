"""How the portal runs: the local launcher, the broker's topology, compose. The service is services/deploy."""
