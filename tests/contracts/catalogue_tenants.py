"""Tenants, certificates, FTP accounts and changes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from recpipe.catalogue import Catalogue
from recpipe.catalogue.repository import new_id
from recpipe.errors import AlreadyExists, Conflict, NotFound
from recpipe.model import CertificateState, Direction, FtpAccount, FtpAccountKind, StoreFormat
from tests.contracts.catalogue_samples import NOW, a_certificate, a_tenant, kept_tenant


def an_account(tenant_id: str | None, username: str = "", **changes: object) -> FtpAccount:
    made = FtpAccount(new_id(), tenant_id, username or new_id(), "$argon2id$...", NOW)
    return replace(made, **changes)  # type: ignore[arg-type]


class TenantContract:
    def test_a_tenant_comes_back_as_it_was_kept(self, catalogue: Catalogue) -> None:
        tenant = a_tenant(
            title="Zürich\N{RIGHT-TO-LEFT MARK} <b>",
            aliases=("pbx.example.org", "12345"),
            store_format=StoreFormat.MP3,
            recording_enabled=True,
            disclaimer_agreed_at=NOW,
            disclaimer_agreed_by="anna",
        )
        with catalogue.begin() as work:
            assert work.tenants.add(tenant) == tenant
        with catalogue.read() as work:
            assert work.tenants.get(tenant.id) == tenant
            assert tenant in work.tenants.list()

    def test_a_tenant_is_found_by_name_or_alias_in_any_case(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue, name="Acme", aliases=("PBX.example.org",))
        with catalogue.read() as work:
            for name in ("acme", "ACME", " pbx.Example.ORG"):
                assert work.tenants.named(name).id == tenant.id
            with pytest.raises(NotFound):
                work.tenants.named("acm")

    @pytest.mark.parametrize("clash", [{"name": "ONE"}, {"name": "two", "aliases": ("One.example",)}])
    def test_a_name_or_alias_never_means_two_tenants(self, catalogue: Catalogue, clash: dict[str, object]) -> None:
        kept_tenant(catalogue, name="one", aliases=("one.example",))
        with pytest.raises(AlreadyExists):
            kept_tenant(catalogue, **clash)
        with catalogue.read() as work:
            assert [tenant.name for tenant in work.tenants.list()] == ["one"]

    def test_an_update_replaces_names_and_settings_and_frees_old_aliases(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue, aliases=("old.example", "kept.example"))
        with catalogue.begin() as work:
            changed = work.tenants.update(replace(tenant, title="New", aliases=("kept.example", "new.example")))
        assert (changed.title, changed.aliases) == ("New", ("kept.example", "new.example"))
        kept_tenant(catalogue, aliases=("old.example",))
        with catalogue.begin() as work, pytest.raises(NotFound):
            work.tenants.update(a_tenant())

    def test_two_changes_at_the_same_time_both_stay(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)

        def change(**values: object) -> None:
            with catalogue.begin() as work:
                before = work.tenants.to_change(tenant.id)
                time.sleep(0.3)  # the other comes meanwhile
                work.tenants.update(replace(before, **values))  # type: ignore[arg-type]

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(change, recording_enabled=True), pool.submit(change, title="Renamed")]:
                done.result()
        with catalogue.read() as work:
            after = work.tenants.get(tenant.id)
        assert after.recording_enabled and after.title == "Renamed"

    # --- certificates -------------------------------------------------------------------------------------

    def test_certificates_come_back_as_they_were_kept(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        first, second = a_certificate(tenant.id), a_certificate(tenant.id)
        with catalogue.begin() as work:
            certificates = work.of(tenant.id).certificates
            assert certificates.add(first) == first
            certificates.add(second)
            assert list(certificates.list()) == [first, second]
            vouched = certificates.decide(second.id, CertificateState.VOUCHED, NOW, "root")
            assert list(certificates.list()) == [first, vouched]
            assert certificates.set_challenge(first.id, "ab" * 32).challenge == "ab" * 32

    def test_the_same_certificate_is_added_again_only_when_it_was_retired(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        first = a_certificate(tenant.id)
        again = replace(first, id=new_id())
        with catalogue.begin() as work:
            certificates = work.of(tenant.id).certificates
            certificates.add(first)
            with pytest.raises(AlreadyExists):
                certificates.add(again)
            certificates.decide(first.id, CertificateState.RETIRED, NOW, "anna")
            certificates.add(again)
            with pytest.raises(Conflict):
                certificates.decide(first.id, CertificateState.PROVEN, NOW, "anna")

    # --- FTP accounts -------------------------------------------------------------------------------------

    def test_an_ftp_account_comes_back_as_it_was_kept(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        account = an_account(
            tenant.id, allowed_networks=("10.0.0.0/8", "::1/128"), extension="201", direction=Direction.INBOUND
        )
        with catalogue.begin() as work:
            assert work.of(tenant.id).ftp_accounts.add(account) == account
            assert work.ftp_logins.by_username(account.username) == account
            assert list(work.of(tenant.id).ftp_accounts.list()) == [account]
        assert "argon2" not in repr(account)

    def test_a_user_name_is_unique_over_all_tenants(self, catalogue: Catalogue) -> None:
        one, two = kept_tenant(catalogue), kept_tenant(catalogue)
        with catalogue.begin() as work:
            work.of(one.id).ftp_accounts.add(an_account(one.id, "files"))
            with pytest.raises(AlreadyExists):
                work.of(two.id).ftp_accounts.add(an_account(two.id, "files"))
            with pytest.raises(NotFound):
                work.of(two.id).ftp_accounts.named("files")

    def test_every_change_of_an_account_ends_its_sessions_and_a_login_does_not(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        account = an_account(tenant.id)
        with catalogue.begin() as work:
            accounts = work.of(tenant.id).ftp_accounts
            accounts.add(account)
            work.ftp_logins.note_login(account.id, NOW)
            assert work.ftp_logins.generations([account.id, new_id()]) == {account.id: 1}
            accounts.update(replace(account, password_hash="another"))
            assert work.ftp_logins.generations([account.id]) == {account.id: 2}
            assert accounts.get(account.id).last_login_at == NOW
            accounts.update(replace(account, enabled=False))
            assert work.ftp_logins.generations([account.id]) == {}
            accounts.remove(account.id)
            with pytest.raises(NotFound):
                work.ftp_logins.by_username(account.username)

    def test_an_uploader_may_belong_to_no_tenant(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        uploader = an_account(None, kind=FtpAccountKind.UPLOADER, spool="berlin")
        with catalogue.begin() as work:
            assert work.ftp_logins.uploaders.add(uploader) == uploader
            assert list(work.ftp_logins.uploaders.list()) == [uploader]
            assert not work.of(tenant.id).ftp_accounts.list()
            with pytest.raises(NotFound):
                work.of(tenant.id).ftp_accounts.get(uploader.id)

    # --- changes ------------------------------------------------------------------------------------------

    def test_a_saved_change_is_amended_applied_and_remembered(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        with catalogue.begin() as work:
            changes = work.of(tenant.id).changes
            changes.save("route", "0301234", {"recording": False}, {"recording": True, "n": 1}, NOW, "anna")
            amended = changes.save("route", "0301234", {"ignored": 1}, {"recording": True}, NOW, "ben")
            assert amended is not None
            assert (amended.old, amended.new) == ({"recording": False}, {"recording": True})
            assert list(changes.pending()) == [amended]
            assert changes.history().items == ()
            changes.mark_applied([amended.id], NOW + timedelta(hours=1), "root")
            assert not changes.pending()
            assert changes.history().items == (
                replace(amended, applied_at=NOW + timedelta(hours=1), applied_by="root"),
            )
        with pytest.raises(Conflict), catalogue.begin() as work:
            work.of(tenant.id).changes.mark_applied([amended.id], NOW, "root")

    def test_a_change_back_to_the_old_leaves_nothing_pending(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        with catalogue.begin() as work:
            changes = work.of(tenant.id).changes
            assert changes.save("tenant", "", {"a": 1}, {"a": 1}, NOW, "anna") is None
            changes.save("tenant", "", {"a": 1}, {"a": 2}, NOW, "anna")
            assert changes.save("tenant", "", {"a": 2}, {"a": 1}, NOW, "anna") is None
            assert not changes.pending()

    def test_history_goes_from_new_to_old_page_by_page(self, catalogue: Catalogue) -> None:
        tenant = kept_tenant(catalogue)
        with catalogue.begin() as work:
            changes = work.of(tenant.id).changes
            for number in range(5):
                made = changes.save("tenant", "", {"n": number}, {"n": number + 1}, NOW, "anna")
                assert made is not None
                changes.mark_applied([made.id], NOW + timedelta(seconds=number), "anna")
            seen, cursor = [], None
            while True:
                page = changes.history(cursor, limit=2)
                seen += [made.old["n"] for made in page.items]
                if (cursor := page.next_cursor) is None:
                    break
            assert seen == [4, 3, 2, 1, 0]
