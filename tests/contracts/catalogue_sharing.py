"""Links to calls: kept by tenant, counted once for each opening, gone with whom and what they belong to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from recpipe.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.errors import NotFound
from recpipe.model import Opening, SharedLink, Tenant, User
from tests.contracts.catalogue_people import kept_user
from tests.contracts.catalogue_samples import NOW, kept_tenant


def a_shared_link(tenant: Tenant, user: User) -> SharedLink:
    return SharedLink(
        id=new_id(),
        tenant_id=tenant.id,
        hash=new_id() * 2,
        user_id=user.id,
        token_id="",
        call=new_id(),
        recordings=(new_id(), new_id()),
        label="Müller & Co",
        passphrase_hash=None,
        download=True,
        created_at=NOW,
        expires_at=NOW + timedelta(days=7),
        most_openings=2,
    )


def opening(link: SharedLink) -> Opening:
    return Opening(new_id(), link.id, new_id() * 2, NOW, NOW + timedelta(hours=2))


class SharingContract:
    def test_a_shared_link_is_seen_by_its_tenant_and_found_by_its_hash(self, catalogue: Catalogue) -> None:
        tenant, other, user = kept_tenant(catalogue), kept_tenant(catalogue), kept_user(catalogue)
        link = a_shared_link(tenant, user)
        with catalogue.begin() as work:
            work.of(tenant.id).shared_links.add(link)
            with pytest.raises(ValueError, match="handed to the scope"):
                work.of(other.id).shared_links.add(link)
        with catalogue.read() as work:
            assert work.shared_links.by_hash(link.hash) == work.shared_links.get(link.id) == link
            assert work.of(tenant.id).shared_links.live(NOW) == [link]
            assert [work.of(one.id).shared_links.count(NOW) for one in (tenant, other)] == [1, 0]
            assert work.of(tenant.id).shared_links.live(link.expires_at) == []
            with pytest.raises(NotFound):
                work.shared_links.by_hash("0" * 64)
        with catalogue.begin() as work:
            assert not work.of(other.id).shared_links.revoke(link.id, NOW)
            assert work.of(tenant.id).shared_links.revoke(link.id, NOW)
            assert not work.of(tenant.id).shared_links.revoke(link.id, NOW)
            assert work.shared_links.get(link.id) == replace(link, revoked_at=NOW)
            assert work.of(tenant.id).shared_links.live(NOW) == []

    def test_a_shared_link_opened_by_many_at_once_opens_as_often_as_it_may(self, catalogue: Catalogue) -> None:
        tenant, user = kept_tenant(catalogue), kept_user(catalogue)
        link = a_shared_link(tenant, user)
        with catalogue.begin() as work:
            work.of(tenant.id).shared_links.add(link)

        def attempt(_: int) -> bool:
            with catalogue.begin() as work:
                return work.shared_links.open(opening(link))

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(attempt, range(4))) == 2
        with catalogue.read() as work:
            counted = work.shared_links.get(link.id)
        assert (counted.openings, counted.last_opened_at) == (2, NOW)

    @pytest.mark.parametrize("table", ["tenant", "portal_user"])
    def test_shared_links_go_with_their_tenant_and_their_maker(self, catalogue: Catalogue, table: str) -> None:
        tenant, user = kept_tenant(catalogue), kept_user(catalogue)
        link = a_shared_link(tenant, user)
        opened = opening(link)
        with catalogue.begin() as work:
            work.of(tenant.id).shared_links.add(link)
            assert work.shared_links.open(opened)
        with catalogue.begin() as work:
            assert work.shared_links.opening(digest=opened.hash) == work.shared_links.opening(id=opened.id) == opened
            gone = tenant.id if table == "tenant" else user.id
            work._connection.execute(text(f"DELETE FROM {table} WHERE id = :id"), {"id": gone})
            for find in (lambda: work.shared_links.get(link.id), lambda: work.shared_links.opening(id=opened.id)):
                with pytest.raises(NotFound):
                    find()
