"""`mes deploy`, `mes rollback`, `mes status`: what is live where, and changing it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from clients.cli.api import Api
from clients.cli.options import Env, Json, Org, Url, organization, signed_in
from clients.cli.screen import console, emit, say, table, when

App = Annotated[str, typer.Argument(metavar="APP", help="The application's slug.")]


def deploy(
    app: App,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="As in 1.2.3.")],
    env: Env,
    org: Org = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Start a rollout of a version to an environment."""
    api = signed_in(url)
    _tell(roll_out(api, organization(api, org), env, app, version), env, as_json)


def rollback(app: App, env: Env, org: Org = None, url: Url = None, as_json: Json = False) -> None:
    """Back to the version that was live before, at once."""
    api = signed_in(url)
    found = api.post(f"/v1/orgs/{organization(api, org)}/environments/{env}/apps/{app}/rollback")
    _tell(found, env, as_json)


def status(org: Org = None, url: Url = None, as_json: Json = False) -> None:
    """Applications, environments, and what is live where."""
    api = signed_in(url)
    org = organization(api, org)
    apps = list(api.items(f"/v1/orgs/{org}/apps"))
    environments = list(api.items(f"/v1/orgs/{org}/environments"))
    live = {found["slug"]: placements(api, org, found["slug"]) for found in environments}
    if as_json:
        emit({"org": org, "apps": apps, "environments": environments, "live": live})
        return
    locked = {found["slug"] for found in environments if found["locked"]}
    names = [f"{slug} (locked)" if slug in locked else slug for slug in live]
    rows = [
        [app["slug"], app["kind"], app["latest"], app["versions"]]
        + [_cell(placed.get(app["slug"])) for placed in live.values()]
        for app in apps
    ]
    if rows:
        console.print(table(["app", "kind", "latest", "versions", *names], rows))
    else:
        say(f"{org} has no applications yet.  [dim]mes publish DIR --app … --version … --create[/]")


def roll_out(api: Api, org: str, env: str, app: str, version: str) -> dict[str, Any]:
    return api.post(f"/v1/orgs/{org}/environments/{env}/rollouts", {"app": app, "version": version})


def placements(api: Api, org: str, env: str) -> dict[str, dict[str, Any]]:
    """What is live in an environment, by application."""
    found = api.items(f"/v1/orgs/{org}/environments/{env}/apps")
    return {placed["app"]: placed for placed in found}


def _tell(rollout: dict[str, Any], env: str, as_json: bool) -> None:
    if as_json:
        emit(rollout)
        return
    before = f", was {rollout['previous']}" if rollout["previous"] else ""
    mark = "[red]✗[/]" if rollout["state"] == "failed" else "[green]✓[/]"
    say(f"{mark} {rollout['app']} {rollout['version']} in {env}: {rollout['state']}{before}")
    say(f"  [dim]{rollout['id']}[/]")


def _cell(placed: dict[str, Any] | None) -> str | None:
    return f"{placed['version']}, {when(placed['since'])}" if placed else None
