"""Logs that prove themselves: Merkle trees (RFC 6962), signed checkpoints, proofs, tiles (C2SP). No I/O."""
