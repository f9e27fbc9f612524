"""`mes demo`: fills a portal with something to look at, through its front door. Again changes nothing."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from clients.cli.api import Api, portal_url, running_here
from clients.cli.failures import Failure, Refused
from clients.cli.options import Email, Json, PasswordEnv, Url, password_of
from clients.cli.packing import pack
from clients.cli.placing import placements, roll_out
from clients.cli.publishing import make_app, upload
from clients.cli.screen import aside, emit, say
from clients.cli.session import Sessions

ORG, ENVIRONMENT = "demo", "production"
DEMO_EMAIL = "demo@mes.example"
BUILDS = Path(__file__).parent.parent / "demo" / "dist"
KINDS = {"orders": "remote", "inventory": "remote", "shell": "host"}
# Every build, oldest first; the first of each application is rolled out.
VERSIONS = {"orders": ("1.0.0", "1.1.0"), "inventory": ("1.0.0", "1.1.0"), "shell": ("1.0.0",)}
# An organization's environments are made a moment after it.
ENVIRONMENTS_WITHIN_S = 20.0


def demo(
    email: Email = None, password_env: PasswordEnv = None, url: Url = None, as_json: Json = False
) -> None:
    """Fill a portal with a shell and two remotes in two versions. Again changes nothing."""
    api, stored = _enter(portal_url(url), email, password_env)
    steps = Steps(quiet=as_json)
    fill(api, steps)
    shell = f"{api.url}/assets/{ORG}/shell/{VERSIONS['shell'][0]}/index.html?org={ORG}&env={ENVIRONMENT}"
    if as_json:
        emit({"url": api.url, "org": ORG, "shell": shell, "changed": steps.changed, "steps": steps.done})
        return
    if not steps.changed:
        say("[green]✓[/] The demo is there already; nothing changed.")
    say(f"\n  the shell   {shell}")
    at = f" --url {api.url}" if portal_url(None) != api.url else ""
    if not stored and api.session:
        say(f"  first       mes login --email {api.session.email}{at}")
    say(f"  then try    mes watch registry.list_apps --org {ORG}{at}")
    say(f"              mes deploy orders 1.1.0 --env {ENVIRONMENT} --org {ORG}{at}")
    say(f"              mes rollback orders --env {ENVIRONMENT} --org {ORG}{at}")
    say(f"              mes status --org {ORG}{at}\n")


class Steps:
    """What was done and what was there, told while it happens."""

    def __init__(self, quiet: bool) -> None:
        self.done: list[dict[str, Any]] = []
        self._quiet = quiet

    @property
    def changed(self) -> bool:
        return any(step["changed"] for step in self.done)

    def take(self, what: str, step: Callable[..., bool], *args: Any) -> None:
        """`step` says whether it changed anything."""
        with nullcontext() if self._quiet else aside.status(f"[dim]{what}[/]"):
            changed = step(*args)
        self.done.append({"step": what, "changed": changed})
        if not self._quiet:
            say(f"  [green]✓[/] {what}" if changed else f"  [dim]· {what}: there already[/]")


def fill(api: Api, steps: Steps) -> None:
    steps.take(f"organization {ORG}", _make_org, api)
    for app, kind in KINDS.items():
        steps.take(f"{kind} {app}", make_app, api, ORG, app, kind)
        for version in VERSIONS[app]:
            steps.take(f"{app} {version} published", _publish, api, app, version)
    steps.take(f"environment {ENVIRONMENT}", _environment, api)
    for app, versions in VERSIONS.items():
        steps.take(f"{app} {versions[0]} live in {ENVIRONMENT}", _place, api, app, versions[0])


def _enter(url: str, email: str | None, password_env: str | None) -> tuple[Api, bool]:
    """The given sign-in, the stored one, the administrator of the portal that runs here, or somebody new;
    and whether later commands are signed in as well."""
    if email:
        return _signed_in_for_now(url, email, password_of(password_env)), False
    api = Api(url, Sessions())
    if api.session:
        return api, True
    here = running_here()
    if here.get("url") == url and "admin" in here:
        return _signed_in_for_now(url, here["admin"]["email"], here["admin"]["password"]), False
    _register(api)
    return api, True


def _signed_in_for_now(url: str, email: str, password: str) -> Api:
    api = Api(url)
    api.sign_in(email, password)
    return api


def _register(api: Api) -> None:
    password = secrets.token_urlsafe(24)
    user = {"email": DEMO_EMAIL, "name": "Demo", "password": password}
    try:
        api.post("/v1/users", user, signed_in=False)
    except Refused as refusal:
        if refusal.problem.get("status") != 409:
            raise
        hint = "mes demo --email … for another user, or mes login"
        raise Refused(f"{DEMO_EMAIL} is registered there, and not signed in here.", hint) from refusal
    # Nobody knows the password: the stored session is the only way in.
    api.sign_in(DEMO_EMAIL, password)


def _make_org(api: Api) -> bool:
    if any(found["slug"] == ORG for found in api.items("/v1/orgs")):
        return False
    try:
        api.post("/v1/orgs", {"slug": ORG, "name": "Demo"})
    except Refused as refusal:
        if refusal.problem.get("status") != 409:
            raise
        hint = "mes demo --email … as a member of it"
        raise Refused(f"The organization {ORG} is there, and you are no member.", hint) from refusal
    return True


def _publish(api: Api, app: str, version: str) -> bool:
    several = BUILDS / app / version
    folder = several if several.is_dir() else BUILDS / app
    return upload(api, ORG, app, version, pack(folder))[1]


def _environment(api: Api) -> bool:
    """Waits for it; it is made by the portal."""
    deadline = time.monotonic() + ENVIRONMENTS_WITHIN_S
    waited = False
    while True:
        found = api.items(f"/v1/orgs/{ORG}/environments")
        if any(environment["slug"] == ENVIRONMENT for environment in found):
            return waited
        if time.monotonic() > deadline:
            raise Failure(f"{ORG} has no environment {ENVIRONMENT}.")
        waited = True
        time.sleep(0.1)


def _place(api: Api, app: str, version: str) -> bool:
    """Whatever somebody has rolled out since stays."""
    if app in placements(api, ORG, ENVIRONMENT):
        return False
    roll_out(api, ORG, ENVIRONMENT, app, version)
    return True
