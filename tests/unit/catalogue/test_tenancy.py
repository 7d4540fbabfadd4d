"""A tenant's rows are touched through its scope alone: which module may name which table is read from the source."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import recpipe.catalogue
from recpipe.catalogue import tables
from recpipe.catalogue.repository import Scoped
from recpipe.catalogue.work import TenantScope, Work

FOLDER = Path(recpipe.catalogue.__file__).parent
OWNED = {table.name for table in tables.metadata.sorted_tables if "tenant_id" in table.columns}

# Every class or function that names a table with a tenant_id, and why it may. A new one fails here until it is thought
# about: either it is made from a tenant's id, or it is a door where the tenant is what is looked for.
SCOPED = {
    "Certificates",
    "_Accounts",
    "Recordings",
    "CallMarks",
    "SharedLinks",
    "Changes",
    "Policy",
    "Decisions",
    "Completeness",
    "CallEvents",
    "FigureCounts",
    "Search",  # made from the tenants it is for, never from none
    "Branches",
}
DOORS = {
    "Tenants": "tells which tenant a name means, and whether one may be switched to encryption",
    "Users": "grants are of users and tenants alike",
    "FtpLogins": "a login knows no tenant yet",
    "LinksOfAll": "who opens a link names no tenant; what it opens is in the link",
    "IdentityProviders": "a sign-in knows no tenant yet; what it opens is decided by the user's grants",
    "Quarantine": "files of unknown tenants are nobody's; a scope narrows it to its own",
    "QuarantineOfAll": "written by the write path, read by administrators",
    "Audit": "a scope narrows it to its own",
    "AcrossTenants": "sums over the tenants it is made for; an administrator's are all of them",
    "Figures": "sums over the tenants it is made for; an administrator's are all of them",
    "PoliciesOfAll": "who answers the PBXs of all tenants reads the rules of all",
    "DecisionsOfAll": "written by who answers the PBXs, forgotten by age",
    "CallEventsOfAll": "says whose wait for a recording, forgotten by age",
    "CallRecordsOfAll": "written by the write path, forgotten by age",
    "AuditOfAll": "written by everyone, read by administrators",
}
# Helpers that take the tenant's id, or conditions that end up beside it.
HELPERS = {
    "add_many",
    "_known",
    "_insert",
    "_choose_names",
    "_taken",
    "link_numbers",
    "number_ids",
    "_find_numbers",
    "count_days",
    "_numbers_of",
    "_is_meant",
    "branches_of",
    "page_of",
    "number_of",
    "weight_of",  # of recordings that its tenants' branches gave
    "_best",
    "_filters_of",
    "is_of",
    "_bounds_of",
    "_has_text",
    "by_trigrams",
    "_account_of",
    "_held",
    "_of_kinds",
    "_add",
    "_add_number",
    "_add_total",
    "_number_of_legs",
    "_legs_of",
    "_seen",  # of calls: what both of these ask for, the tenants first
    "weight_of_calls",
    "said_of",
    "_link_of",
    "marks_of",  # a condition, beside that of the tenant
    "_walked",
    "count",
    "_add_quarters",
    "_add_values",
    "_find_longest",
}


def named() -> list[tuple[str, str, str]]:
    """(module, top-level class or function, table) of every mention of an owned table in the catalogue's code."""
    found = []
    for path in sorted(FOLDER.glob("*.py")):
        if path.stem in ("tables", "rows"):
            continue
        for part in ast.parse(path.read_text()).body:
            if not isinstance(part, (ast.ClassDef, ast.FunctionDef)):
                continue
            for node in ast.walk(part):
                if isinstance(node, ast.Name) and node.id in OWNED:
                    found.append((path.stem, part.name, node.id))
    return found


def test_only_known_places_name_a_table_that_tenants_own() -> None:
    unknown = {(module, part) for module, part, _ in named() if part not in SCOPED | DOORS.keys() | HELPERS}
    assert unknown == set()


def test_the_lint_sees_the_tables_it_is_about() -> None:
    assert {"recording", "certificate", "phone_number", "recording_number", "day_total", "tombstone"} <= OWNED
    assert {table for _, _, table in named()} >= OWNED - {"user_grant"}


def test_statements_made_once_carry_the_tenant() -> None:
    from recpipe.catalogue import adding, calls, figure_counts

    for name, statement in vars(adding).items():
        if name in ("_KNOWN", "_ROWS", "_NAMES", "_NUMBERS"):
            compiled = str(statement)
            assert compiled.count("tenant_id = :tenant_id") == compiled.count("FROM"), name
    for statement in (calls._BEGAN, calls._EARLIER, calls._LATER, *calls._MOVE):
        assert "tenant_id = :owner" in str(statement)
    for statement in (figure_counts._LEGS, figure_counts._FORGET_VALUE, figure_counts._FORGET_QUARTER):
        assert "tenant_id = :owner" in str(statement)
    assert str(calls._SPREAD).count("tenant_id = :owner") == 3  # of the legs asked for, and of each end


def test_nothing_of_a_scope_can_be_made_without_a_tenant() -> None:
    made = {name: thing for name, thing in vars(TenantScope).items() if isinstance(thing, property)}
    assert made
    for name, thing in made.items():
        assert thing.fget is not None
        source = inspect.getsource(thing.fget)
        assert re.search(r"self\._connection, \[?self\.tenant_id\]?\)", source), name
    assert list(inspect.signature(Scoped.__init__).parameters)[1:] == ["connection", "tenant_id"]
    for method in (Work.search, Work.count, Work.recording, Work.calls, Work.count_calls, Work.total_calls, Work.call):
        parameter = inspect.signature(method).parameters["tenant_ids"]
        assert parameter.default is inspect.Parameter.empty


@pytest.mark.parametrize("module", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_no_public_method_hands_out_a_row_or_a_connection(module: str) -> None:
    tree = ast.parse((FOLDER / f"{module}.py").read_text())
    if module in (
        "engine",
        "migrate",
        "types",
        "rows",
        "adding",
        "phone",
        "repository",
        "tables",
        "walk",
        "calls",
        "tally",
    ):
        return  # below the repositories: not for callers
    for cls in (part for part in tree.body if isinstance(part, ast.ClassDef)):
        for method in (part for part in cls.body if isinstance(part, ast.FunctionDef)):
            if not method.name.startswith("_") and method.returns is not None:
                answer = ast.unparse(method.returns)
                assert not any(word in answer for word in ("Row", "Connection", "Result", "Engine", "Select")), (
                    method.name
                )
