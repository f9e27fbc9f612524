"""Decisions a second in one process: the one function, over grants as people hold them."""

from __future__ import annotations

import itertools
import time

from gateway.access import OrganizationAccess
from libs.contracts.identity import AssignedRole, DirectoryEntry
from libs.permissions import decide

ORG, USER = "org_0123456789abcdef01234567", "usr_0123456789abcdef01234567"
SECONDS = 1.0


def an_organization() -> OrganizationAccess:
    """Its member is in 3 teams; by them and by itself it holds 12 assignments, one of a role of its own."""
    teams = [f"tea_{number}" for number in range(3)]
    subjects = itertools.cycle((USER, *teams))
    assignments = {
        f"asg_{number:02}": AssignedRole(
            subject=next(subjects),
            role="releaser" if number == 3 else ("viewer", "developer")[number % 2],
            path=f"app-{number}" + ("/production" if number % 3 == 0 else ""),
        )
        for number in range(12)
    }
    access = OrganizationAccess(ORG)
    access.load(
        DirectoryEntry(
            org=ORG,
            slug="acme",
            members={USER: "member"},
            roles={"releaser": ("app:read", "version:read", "version:publish")},
            teams=dict.fromkeys(teams, (USER,)),
            assignments=assignments,
            sequence=1,
        )
    )
    return access


def rates(rounds: int) -> tuple[list[float], float]:
    """Decisions a second, from a subject's id to the answer; and the share of them that are allowed."""
    access = an_organization()
    assert len(access.grants(USER)) == 13
    questions = [
        (permission, f"{ORG}/app-{number}{below}")
        for number in range(16)
        for below in ("", "/production")
        for permission in ("app:read", "version:publish", "environment:update")
    ]
    allowed = sum(decide(access.grants(USER), *question).allowed for question in questions)
    found = []
    for number in range(rounds + 1):
        made, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < SECONDS:
            for permission, resource in questions:
                decide(access.grants(USER), permission, resource)
            made += len(questions)
        if number:
            found.append(made / took)
    return found, allowed / len(questions)
