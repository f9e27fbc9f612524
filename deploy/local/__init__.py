"""The local launcher: broker, database, services and gateways as children of one process."""

from deploy.local.failures import CannotStart
from deploy.local.parts import LocalParts
from deploy.local.portal import LocalPortal

__all__ = ["CannotStart", "LocalParts", "LocalPortal"]
