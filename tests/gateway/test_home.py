"""Where the portal's bare address leads."""

from __future__ import annotations

import httpx

from deploy.local import LocalPortal


async def test_the_bare_address_leads_to_the_reference_while_there_is_no_demo(portal: LocalPortal) -> None:
    async with httpx.AsyncClient(base_url=portal.url) as client:
        answer = await client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")
