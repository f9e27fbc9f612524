"""The local launcher: broker, database, services and gateways as children of one process."""

from deploy.local.failures import CannotStart
from deploy.local.parts import LocalParts

__all__ = ["CannotStart", "LocalParts"]
