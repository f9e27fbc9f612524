"""A certified client library that is not ours: openid-client signs in by code with PKCE, and refreshes."""

from __future__ import annotations

import json

from deploy.local import LocalPortal
from tests.nodes import run
from tests.portal import PASSWORD, somebody


async def test_a_client_that_is_not_ours_signs_in_refreshes_and_signs_out(portal: LocalPortal) -> None:
    person = await somebody(portal.url)
    redirect = f"{portal.url}/app/callback"
    said = json.loads(run("client.mjs", portal.url, "mes-portal", redirect, person.email, PASSWORD))
    assert said["claims"]["iss"] == portal.url
    assert said["claims"]["aud"] == "mes-portal"
    assert said["claims"]["sub"] == said["user"]["sub"] == said["renewedSubject"] == person.id
    assert said["user"]["email"] == person.email
    assert said["renewed"] is True
    assert said["after"] == "invalid_grant"
