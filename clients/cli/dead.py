"""`mes dead`: messages that no service could process. For operators."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from clients.cli.api import Api
from clients.cli.failures import Refused, Usage
from clients.cli.options import Json, Url, signed_in
from clients.cli.screen import console, emit, say, table, when

app = typer.Typer(help="Messages that no service could process.", no_args_is_help=True)

Service = Annotated[str | None, typer.Option("--service", help="Of this service only.", show_default=False)]


@app.command("list")
def list_(service: Service = None, url: Url = None, as_json: Json = False) -> None:
    """List them, with the reason."""
    found = parked(signed_in(url), service)
    if as_json:
        emit({"items": found})
    elif not found:
        say("[green]✓[/] No dead messages.")
    else:
        columns = ["id", "service", "from", "parked", "tries", "reason"]
        rows = [
            [one["id"], one["service"], one["queue"], when(one["parked_at"]), one["attempts"], one["reason"]]
            for one in found
        ]
        console.print(table(columns, rows))


@app.command()
def replay(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="Which.")] = None,
    service: Service = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are listed.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Send them back to where they came from."""
    if bool(ids) == everything:
        raise Usage("Which messages?", "Name their ids, or --all")
    api = signed_in(url)
    wanted: dict[str, list[str]] = {}
    for one in parked(api, service):
        if everything or one["id"] in (ids or []):
            wanted.setdefault(one["service"], []).append(one["id"])
    missing = set(ids or []) - {found for many in wanted.values() for found in many}
    if missing:
        raise Refused(f"Not among the dead messages: {', '.join(sorted(missing))}", "mes dead list")
    replayed: list[str] = []
    for owner, found in wanted.items():
        answer = api.post("/v1/operations/dead/replay", {"service": owner, "ids": found})
        replayed += answer.get("replayed", found)
    if as_json:
        emit({"replayed": replayed})
    else:
        say(f"[green]✓[/] {len(replayed)} sent back")


def parked(api: Api, service: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("/v1/operations/dead")["items"]
    return [one for one in found if service in (None, one["service"])]
