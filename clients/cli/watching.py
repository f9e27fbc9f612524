"""`mes watch`: a query's answer, and again whenever it changes."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.json import JSON
from rich.markup import escape

from clients.cli.failures import Usage
from clients.cli.live import Live
from clients.cli.options import Json, Org, Url, organization, signed_in
from clients.cli.screen import aside, console, emit, say, table

# About the user, in no organization.
PERSONAL = ("identity.get_me", "identity.list_orgs")
MOST_COLUMNS = 7


def watch(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="As in registry.list_apps.")],
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]…", help="Its arguments; KEY:=JSON for other than text."),
    ] = None,
    org: Org = None,
    times: Annotated[int, typer.Option("--times", help="End after so many answers; 0 never ends.")] = 0,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show a query's answer, and again at each change, until Ctrl-C."""
    asked = arguments(args or [])
    api = signed_in(url)
    if "org" not in asked and query not in PERSONAL:
        asked["org"] = organization(api, org)
    live = Live(api, query, asked, lambda news: None if as_json else aside.print(f"[dim]{news}[/]"))
    try:
        for seen, answer in enumerate(live.answers(), 1):
            if as_json:
                emit({"query": query, **answer})
            else:
                _show(answer)
            if seen == times:
                return
    except KeyboardInterrupt:
        return  # the ordinary end


def arguments(given: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not key.rstrip(":") or not equals:
            raise Usage(f"{one!r} is not of the form key=value.")
        if key.endswith(":"):
            try:
                found[key[:-1]] = json.loads(value)
            except json.JSONDecodeError as error:
                raise Usage(f"{one!r}: the value is not JSON.") from error
        else:
            found[key] = value
    return found


def _show(answer: dict[str, Any]) -> None:
    say(f"[dim]{datetime.now():%H:%M:%S}[/]")
    if "error" in answer:
        problem = answer["error"]
        say(f"[red]✗[/] {escape(str(problem.get('detail') or problem.get('code')))}")
        return
    value = answer["value"]
    items = value.get("items") if isinstance(value, dict) else None
    if items:
        columns = [name for name, cell in items[0].items() if not isinstance(cell, dict | list)]
        columns = [name for name in columns if name != "revision"][:MOST_COLUMNS]
        console.print(table(columns, ([item.get(name) for name in columns] for item in items)))
    else:
        console.print(JSON.from_data(value))
