"""`mes publish`: a build folder becomes a version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from clients.cli.api import Api
from clients.cli.failures import Refused, Usage
from clients.cli.options import Json, Org, Url, organization, signed_in
from clients.cli.packing import Counted, pack
from clients.cli.screen import aside, emit, say

CREATED = 201


def publish(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that the build wrote.")],
    app: Annotated[str, typer.Option("--app", help="The application's slug.")],
    version: Annotated[str, typer.Option("--version", help="As in 1.2.3.")],
    org: Org = None,
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", metavar="KEY=VALUE", help="May be repeated.")
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Make the application if it is missing.")] = False,
    kind: Annotated[str, typer.Option("--kind", help="remote or host, for --create.")] = "remote",
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Publish a build folder as a version. The same bytes again change nothing."""
    described = pairs(metadata or [])
    archive = pack(folder)
    api = signed_in(url)
    org = organization(api, org)
    if create:
        make_app(api, org, app, kind)
    with _bar(f"{app} {version}", quiet=as_json) as told:
        published, is_new = upload(api, org, app, version, archive, described, told)
    if as_json:
        emit({**published, "created": is_new})
        return
    size = sum(file["size"] for file in published["files"])
    news = "published" if is_new else "had been published before; nothing changed"
    say(f"[green]✓[/] {app} {version} {news}  [dim]{len(published['files'])} files, {size:,} bytes[/]")
    say(f"  [dim]{published['digest']}[/]")


def upload(
    api: Api,
    org: str,
    app: str,
    version: str,
    archive: bytes,
    metadata: dict[str, str] | None = None,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, Any], bool]:
    """The version, and whether it is new."""
    counted = Counted(archive, lambda done: told(done, len(archive)))
    response = api.request(
        "POST",
        f"/v1/orgs/{org}/apps/{app}/versions",
        files={"file": (f"{app}-{version}.tar.gz", counted, "application/gzip")},
        data={"version": version, "metadata": json.dumps(metadata or {})},
    )
    return response.json(), response.status_code == CREATED


def make_app(api: Api, org: str, app: str, kind: str) -> bool:
    """False if it was there."""
    if kind not in ("remote", "host"):
        raise Usage(f"{kind} is no kind of application.", "--kind remote or --kind host")
    try:
        api.get(f"/v1/orgs/{org}/apps/{app}")
        return False
    except Refused as refusal:
        if refusal.problem.get("status") != 404:
            raise
    api.post(f"/v1/orgs/{org}/apps", {"slug": app, "name": app.replace("-", " ").capitalize(), "kind": kind})
    return True


def pairs(given: list[str]) -> dict[str, str]:
    found = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not key or not equals:
            raise Usage(f"{one!r} is not of the form key=value.")
        found[key] = value
    return found


class _bar:
    """A progress bar beside standard output, while it is a terminal."""

    def __init__(self, title: str, quiet: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        self._progress = Progress(
            *columns, console=aside, transient=True, disable=quiet or not aside.is_terminal
        )
        self._task = self._progress.add_task(title, total=None)

    def __enter__(self) -> Callable[[int, int], None]:
        self._progress.start()
        return lambda done, total: self._progress.update(self._task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
