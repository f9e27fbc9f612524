"""Rules of organizations."""

import pytest

from libs.contracts.identity import (
    CreateOrganization,
    MembershipsChanged,
    OrganizationCreated,
    UpdateOrganization,
)
from libs.errors import OrganizationNotFound, StaleRevision
from services.identity.organizations import domain
from tests.domain.identity.builders import NOW, ORG, an_org

CREATE = CreateOrganization(slug="acme", name="Acme")


def test_who_creates_an_organization_owns_it() -> None:
    org, events = domain.create(None, CREATE, ORG, "usr_ada", NOW)
    assert org.owners == ("usr_ada",)
    assert events == [OrganizationCreated(org=ORG, slug="acme", name="Acme", owner_id="usr_ada")]


@pytest.mark.parametrize("deleted", [False, True])
def test_a_slug_stays_taken_even_after_its_organization(deleted: bool) -> None:
    with pytest.raises(domain.SlugTaken):
        domain.create(an_org(deleted=deleted), CREATE, ORG, "usr_eve", NOW)


def test_a_new_name_is_told_to_every_member() -> None:
    org, events = domain.update(an_org(), UpdateOrganization(org=ORG, name="New"), ["usr_a", "usr_b"])
    assert org.view().revision == 2
    assert events[1].topics() == ("user-orgs/usr_a", "user-orgs/usr_b")


def test_the_same_name_changes_nothing() -> None:
    before = an_org()
    assert domain.update(before, UpdateOrganization(org=ORG, name="Acme"), ["usr_a"]) == (before, [])


def test_a_stale_revision_is_refused() -> None:
    with pytest.raises(StaleRevision):
        domain.update(an_org(edition=2), UpdateOrganization(org=ORG, name="New", if_revision=1), [])


def test_a_change_of_owners_leaves_the_readers_revision_alone() -> None:
    org = domain.with_owner(an_org("usr_a"), "usr_b", True)
    assert (org.revision, org.view().revision) == (4, 1)


def test_a_deleted_organization_is_not_found() -> None:
    gone, _ = domain.delete(an_org(), ORG, ["usr_ada"], NOW)
    with pytest.raises(OrganizationNotFound):
        domain.known(gone, ORG)


def test_a_large_organization_is_told_in_several_events() -> None:
    users = [f"usr_{n:024x}" for n in range(1001)]
    events = domain.memberships_changed(users)
    told = [u for e in events if isinstance(e, MembershipsChanged) for u in (e.user, *e.others)]
    assert told == users
    assert max(len(e.model_dump_json()) + len(" ".join(e.topics())) for e in events) < 48 * 1024
