"""Messages of identity, a module for each subject; all of them are `identity.…` on the bus."""

from libs.contracts.identity.access import *  # noqa: F403
from libs.contracts.identity.accounts import *  # noqa: F403
from libs.contracts.identity.directory import *  # noqa: F403
from libs.contracts.identity.factors import *  # noqa: F403
from libs.contracts.identity.issuers import *  # noqa: F403
from libs.contracts.identity.managed import *  # noqa: F403
from libs.contracts.identity.oauth import *  # noqa: F403
from libs.contracts.identity.organizations import *  # noqa: F403
from libs.contracts.identity.people import *  # noqa: F403
from libs.contracts.identity.provisioning import *  # noqa: F403
from libs.contracts.identity.recovery import *  # noqa: F403
from libs.contracts.identity.signing import *  # noqa: F403
from libs.contracts.identity.vocabulary import *  # noqa: F403
