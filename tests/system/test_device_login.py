"""`mes login` as people use it: the real command, let in by somebody at a browser."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from deploy.local import LocalPortal
from tests.gateway.browser import Browser
from tests.portal import PASSWORD, somebody

CHROMIUM = shutil.which("chromium")
WITHIN_S = 40


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(home), "COLUMNS": "200"}


async def begins(portal: LocalPortal, home: Path, *more: str) -> Process:
    argv = [sys.executable, "-m", "clients.cli.main", "login", "--url", portal.url, *more]
    return await asyncio.create_subprocess_exec(*argv, env=environment(home), stdout=PIPE, stderr=PIPE)


async def first_line(login: Process) -> str:
    assert login.stdout
    line = await asyncio.wait_for(login.stdout.readline(), WITHIN_S)
    assert line, (await login.communicate())[1].decode()
    return line.decode()


async def mes(home: Path, *argv: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "clients.cli.main", *argv]
    run = await asyncio.create_subprocess_exec(*command, env=environment(home), stdout=PIPE, stderr=PIPE)
    out, err = await run.communicate()
    assert run.returncode is not None
    return run.returncode, (out + err).decode()


async def test_mes_login_is_let_in_over_http_and_its_sign_in_lasts(
    portal: LocalPortal, tmp_path: Path
) -> None:
    person = await somebody(portal.url)
    org = await person.make_org()
    login = await begins(portal, tmp_path, "--json")
    told = json.loads(await first_line(login))
    async with Browser(portal.url) as browser:
        await browser.get(told["verification_uri_complete"])
        await browser.get((await browser.signs_in(person.email)).headers["location"])
        await browser.submit({"action": "approve"})
    out, err = await asyncio.wait_for(login.communicate(), WITHIN_S)
    assert login.returncode == 0, err.decode()
    assert json.loads(out)["email"] == person.email
    stored = tmp_path / ".config" / "mes" / "session.json"
    assert stored.stat().st_mode & 0o077 == 0
    # An access token that has run out is renewed, as the client that the session belongs to.
    kept = json.loads(stored.read_text())
    kept[portal.url]["expires_at"] = 0
    stored.write_text(json.dumps(kept))
    code, said = await mes(tmp_path, "status", "--url", portal.url, "--org", org)
    assert code == 0, said
    assert json.loads(stored.read_text())[portal.url]["expires_at"] > 0
    code, said = await mes(tmp_path, "logout", "--url", portal.url)
    assert code == 0, said
    assert (await mes(tmp_path, "status", "--url", portal.url, "--org", org))[0] == 4


async def test_mes_login_that_is_denied_signs_nobody_in(portal: LocalPortal, tmp_path: Path) -> None:
    person = await somebody(portal.url)
    login = await begins(portal, tmp_path, "--json")
    told = json.loads(await first_line(login))
    async with Browser(portal.url) as browser:
        await browser.get(told["verification_uri_complete"])
        await browser.get((await browser.signs_in(person.email)).headers["location"])
        await browser.submit({"action": "deny"})
    _, err = await asyncio.wait_for(login.communicate(), WITHIN_S)
    assert login.returncode == 4, err.decode()
    assert "denied" in err.decode()


@pytest.mark.skipif(
    CHROMIUM is None,
    reason="NO BROWSER: the device page was NOT tested in one. Install it: apt-get install chromium",
)
async def test_mes_login_is_let_in_by_somebody_in_a_real_browser(portal: LocalPortal, tmp_path: Path) -> None:
    person = await somebody(portal.url)
    login = await begins(portal, tmp_path)
    said = ""
    while "compare" not in said:
        said += await first_line(login)
    user_code = re.search(r"[A-Z]{4}-[A-Z]{4}", said)
    assert user_code
    problems: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page()
        page.on("console", lambda message: problems.append(message.text))
        await page.goto(f"{portal.url}/device")
        await page.get_by_label("E-mail address").fill(person.email)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_label("The code that the device shows").fill(user_code[0].lower())
        await page.get_by_role("button", name="Go on").click()
        await page.get_by_text(user_code[0]).wait_for()
        await page.get_by_role("button", name="Approve").click()
        await page.get_by_text("The device is signed in").wait_for()
        await browser.close()
    out, err = await asyncio.wait_for(login.communicate(), WITHIN_S)
    assert login.returncode == 0, err.decode()
    assert f"as {person.email}" in out.decode()
    # Neither the policy nor anything else stood in the way of the pages.
    assert problems == []
