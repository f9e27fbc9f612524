"""Options that several commands share, and what they mean."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from clients.cli.api import Api, portal_url
from clients.cli.failures import Usage
from clients.cli.session import Sessions

Url = Annotated[str | None, typer.Option("--url", help="The portal's address.", show_default=False)]
Org = Annotated[str | None, typer.Option("--org", help="The organization's slug.", show_default=False)]
Env = Annotated[str, typer.Option("--env", help="The environment's slug.")]
Json = Annotated[bool, typer.Option("--json", help="For programs: JSON instead of tables.")]
Email = Annotated[str | None, typer.Option("--email", help="Who signs in.", show_default=False)]
PasswordEnv = Annotated[
    str | None,
    typer.Option("--password-env", help="Name of the variable that holds the password.", show_default=False),
]


def signed_in(url: str | None) -> Api:
    """The portal, on behalf of whoever signed in with `mes login`."""
    return Api(portal_url(url), Sessions())


def organization(api: Api, given: str | None) -> str:
    """`--org`, MES_ORG, or the only one that the user has."""
    if org := given or os.environ.get("MES_ORG"):
        return org
    slugs = sorted(str(found["slug"]) for found in api.items("/v1/orgs"))
    if len(slugs) == 1:
        return slugs[0]
    if not slugs:
        raise Usage("You belong to no organization.", "mes demo makes one")
    raise Usage("Which organization?", "--org " + ", --org ".join(slugs))


def password_of(variable: str | None) -> str:
    if variable is None:
        return str(typer.prompt("Password", hide_input=True, err=True))
    password = os.environ.get(variable)
    if not password:
        raise Usage(f"The variable {variable} is not set.")
    return password
