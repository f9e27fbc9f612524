"""Installs a Debian package when we may, and says the exact command when we may not."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from deploy.local.failures import CannotStart

SCRIPT = Path(__file__).resolve().parents[1] / "apt-install.sh"

Report = Callable[[str], None]


def silent(_: str) -> None:
    """A report that nobody reads."""


def install(package: str, report: Report = silent) -> None:
    """Install it, or raise with what the reader has to run."""
    command = f"sudo sh {SCRIPT} {package}"
    if shutil.which("apt-get") is None:
        raise CannotStart(
            f"{package} is missing, and this is not Debian or Ubuntu.",
            "Install it by hand, or give MES_AMQP_URL a broker that runs elsewhere.",
        )
    if not (os.geteuid() == 0 or _sudo_asks_nothing()):
        raise CannotStart(f"{package} is missing, and only root may install it.", f"Run: {command}")
    report(f"installing {package}")
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    done = subprocess.run([*prefix, "sh", str(SCRIPT), package], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotStart(
            f"{package} could not be installed:\n{done.stdout[-1500:]}{done.stderr[-1500:]}",
            f"Try: {command}",
        )


def _sudo_asks_nothing() -> bool:
    if shutil.which("sudo") is None:
        return False
    return subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
