"""Names that point to checkpoints: who may move them, what they may be called, and that nobody is overrun."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections
from django.db.models import RestrictedError
from django.urls import reverse

from tests.webapp import rows
from tests.webapp.conftest import logged_in
from tests.webapp.core.test_undo import undo
from webapp.checkpoints.aliases import LIMIT, alias_delete, alias_follow, alias_set
from webapp.checkpoints.models import Alias, Checkpoint
from webapp.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from webapp.core.models import AuditEntry

if TYPE_CHECKING:
    from webapp.accounts.models import User, Workspace
    from webapp.projects.models import Project


@pytest.fixture
def line(project: Project) -> list[Checkpoint]:
    return [rows.checkpoint(project) for _ in range(3)]


def trail(verb: str = "alias_set") -> list[tuple[Any, ...]]:
    found = AuditEntry.objects.filter(verb=verb).order_by("id")
    return [(e.detail["name"], e.detail.get("before"), e.detail.get("number")) for e in found]


def test_a_name_is_made_moved_and_deleted_and_each_leaves_a_trace(
    alice: User, project: Project, line: list[Checkpoint]
) -> None:
    made = alias_set(actor=alice, project=project, name="best", checkpoint=line[0])
    assert (made.checkpoint, made.follows, made.moved_by, made.cycle) == (line[0], False, alice, None)
    alias_set(actor=alice, project=project, name="best", checkpoint=line[1], was=str(line[0].pk))
    alias_set(actor=alice, project=project, name="best", checkpoint=line[1])  # it is there already
    assert trail() == [("best", None, 1), ("best", 1, 2)]
    alias_follow(actor=alice, project=project, name="best", follows=True)
    alias_follow(actor=alice, project=project, name="best", follows=True)
    assert Alias.objects.get().follows
    assert trail("alias_follow") == [("best", None, None)]
    alias_delete(actor=alice, project=project, name="best", was=str(line[1].pk))
    assert not Alias.objects.exists()
    assert trail("alias_delete") == [("best", None, 2)]


@pytest.mark.parametrize("name", ["best", "deployed", "eu-1", "a", "0", "x" * 40, "v12a", "currently"])
def test_what_an_alias_may_be_called(
    name: str, alice: User, project: Project, line: list[Checkpoint]
) -> None:
    assert alias_set(actor=alice, project=project, name=name, checkpoint=line[0]).name == name


@pytest.mark.parametrize(
    "name",
    ["", "Best", "be st", "-a", "a-", "a--b", "a_b", "a/b", "../a", "é", "x" * 41, "best\n", "v1", "v0012",
     "current", "latest", "٣"],
)  # fmt: skip
def test_what_it_may_not(name: str, alice: User, project: Project, line: list[Checkpoint]) -> None:
    with pytest.raises(InvalidInput) as refused:
        alias_set(actor=alice, project=project, name=name, checkpoint=line[0])
    assert refused.value.code == "alias.name"
    assert not Alias.objects.exists()


def test_it_moves_only_from_where_the_caller_saw_it(
    alice: User, project: Project, line: list[Checkpoint]
) -> None:
    alias_set(actor=alice, project=project, name="best", checkpoint=line[1], was="")
    for was in ("", str(line[0].pk)):
        with pytest.raises(Conflict, match="points to v2 by now") as refused:
            alias_set(actor=alice, project=project, name="best", checkpoint=line[2], was=was)
        assert refused.value.code == "conflict.alias_moved"
        with pytest.raises(Conflict):
            alias_delete(actor=alice, project=project, name="best", was=was)
    assert Alias.objects.get().checkpoint == line[1]
    alias_delete(actor=alice, project=project, name="best")
    with pytest.raises(Conflict, match="is gone by now"):
        alias_set(actor=alice, project=project, name="best", checkpoint=line[2], was=str(line[1].pk))
    for change in (alias_delete, lambda **said: alias_follow(follows=True, **said)):
        with pytest.raises(NotFound):
            change(actor=alice, project=project, name="best")


@pytest.mark.django_db(transaction=True)
def test_of_two_who_move_it_at_once_one_is_told(
    alice: User, project: Project, line: list[Checkpoint]
) -> None:
    alias_set(actor=alice, project=project, name="best", checkpoint=line[0])

    def move(target: Checkpoint) -> str:
        try:
            alias_set(actor=alice, project=project, name="best", checkpoint=target, was=str(line[0].pk))
        except Conflict as error:
            return error.code
        finally:
            connections.close_all()
        return "moved"

    with ThreadPoolExecutor(2) as pool:
        told = sorted(pool.map(move, line[1:] * 4))
    assert told == ["conflict.alias_moved"] * 7 + ["moved"]
    assert len(trail()) == 2


def test_only_admins_move_names_and_strangers_find_none(
    alice: User, bob: User, charlie: User, project: Project, line: list[Checkpoint]
) -> None:
    alias_set(actor=alice, project=project, name="best", checkpoint=line[0])
    for who, error in ((bob, Forbidden), (charlie, NotFound)):
        with pytest.raises(error):
            alias_set(actor=who, project=project, name="own", checkpoint=line[0])
        with pytest.raises(error):
            alias_delete(actor=who, project=project, name="best")
        with pytest.raises(error):
            alias_follow(actor=who, project=project, name="best", follows=True)
    assert Alias.objects.get().follows is False


def test_it_points_to_nothing_of_another_project_and_to_no_broken_weights(
    alice: User, workspace: Workspace, project: Project
) -> None:
    other = rows.checkpoint(rows.project_of(workspace, "other"))
    broken = rows.checkpoint(project, non_finite=True)
    with pytest.raises(InvalidInput, match="another project"):
        alias_set(actor=alice, project=project, name="best", checkpoint=other)
    with pytest.raises(Conflict, match="NaN"):
        alias_set(actor=alice, project=project, name="best", checkpoint=broken)


def test_there_is_an_end_to_them(alice: User, project: Project, line: list[Checkpoint]) -> None:
    for n in range(LIMIT):
        alias_set(actor=alice, project=project, name=f"a{n}", checkpoint=line[0])
    with pytest.raises(Conflict, match=f"{LIMIT} aliases"):
        alias_set(actor=alice, project=project, name="best", checkpoint=line[0])
    alias_set(actor=alice, project=project, name="a0", checkpoint=line[1])


def test_a_checkpoint_with_a_name_is_not_deleted_by_the_way(
    alice: User, project: Project, line: list[Checkpoint]
) -> None:
    alias_set(actor=alice, project=project, name="best", checkpoint=line[0])
    with pytest.raises(RestrictedError):
        line[0].delete()
    project.delete()
    assert not Alias.objects.exists()


def test_the_page_makes_moves_switches_and_deletes_with_a_way_back(
    alice: User, project: Project, line: list[Checkpoint]
) -> None:
    client, here = logged_in(alice), reverse("alias_set", args=[project.pk])
    made = {"name": "best", "checkpoint": str(line[0].pk), "was": "", "follows": "1"}
    undo(client, here, **made)
    assert not Alias.objects.exists()
    client.post(here, made, follow=True)
    undo(client, here, name="best", checkpoint=str(line[2].pk), was=str(line[0].pk))
    assert Alias.objects.get().checkpoint == line[0]
    undo(client, reverse("alias_follow", args=[project.pk, "best"]), follows="0")
    assert Alias.objects.get().follows
    undo(client, reverse("alias_delete", args=[project.pk, "best"]), was=str(line[0].pk))
    back = Alias.objects.get()
    assert (back.name, back.checkpoint, back.follows) == ("best", line[0], True)
    page = client.get(reverse("checkpoint_detail", args=[line[0].pk])).content.decode()
    assert 'aria-checked="true"' in page
    assert "A wake never moves it" in page
    elsewhere = client.get(reverse("checkpoint_detail", args=[line[1].pk])).content.decode()
    assert "Move <code>best</code> here from v1" in elsewhere


def test_the_page_says_why_not(alice: User, bob: User, project: Project, line: list[Checkpoint]) -> None:
    client, here = logged_in(alice), reverse("alias_set", args=[project.pk])
    target = str(line[0].pk)
    said = client.post(here, {"name": "V 1", "checkpoint": target, "was": ""}, follow=True).content.decode()
    assert "is no name for an alias" in said
    client.post(here, {"name": "best", "checkpoint": target, "was": ""})
    late = client.post(here, {"name": "best", "checkpoint": str(line[1].pk), "was": ""}, follow=True)
    assert "points to v1 by now" in late.content.decode()
    assert client.post(here, {"name": "own", "checkpoint": "nonsense"}).status_code == 404
    assert logged_in(bob).post(here, {"name": "own", "checkpoint": target}).status_code == 403
    assert "New alias" not in logged_in(bob).get(f"/checkpoints/{target}/").content.decode()


def test_a_name_downloads_what_it_points_to(
    vera: User, charlie: User, alice: User, project: Project, line: list[Checkpoint]
) -> None:
    alias_set(actor=alice, project=project, name="best", checkpoint=line[1])
    address = reverse("alias_download", args=[project.pk, "best"])
    answer = logged_in(vera).get(address)
    assert (answer.status_code, answer["Cache-Control"]) == (302, "private, no-store")
    assert answer["Location"] == reverse("checkpoint_download", args=[line[1].pk])
    assert logged_in(vera).head(address).status_code == 302
    assert logged_in(vera).get(address.replace("best", "other")).status_code == 404
    assert logged_in(charlie).get(address).status_code == 404


def test_programs_do_the_same_over_http(
    alice: User, bob: User, project: Project, line: list[Checkpoint]
) -> None:
    client, root = logged_in(alice), f"/api/projects/{project.pk}/aliases"

    def put(name: str, **body: Any) -> Any:
        return client.put(f"{root}/{name}", json.dumps(body), content_type="application/json")

    made = put("best", checkpoint=str(line[0].pk), was="", follows=True).json()
    assert (made["name"], made["checkpoint"]["number"], made["follows"]) == ("best", 1, True)
    late = put("best", checkpoint=str(line[1].pk), was="")
    assert (late.status_code, late.json()["code"]) == (409, "conflict.alias_moved")
    assert put("best", checkpoint=str(line[1].pk), was=str(line[0].pk)).json()["checkpoint"]["number"] == 2
    assert put("best").json()["code"] == "alias.checkpoint"
    assert put("latest", checkpoint=str(line[0].pk)).json()["code"] == "alias.name"
    assert logged_in(bob).put(f"{root}/best", "{}", content_type="application/json").status_code in {403, 422}
    switched = client.post(f"{root}/best/follow", {"follows": False}, content_type="application/json")
    assert switched.json()["follows"] is False
    assert [item["name"] for item in logged_in(bob).get(root).json()["items"]] == ["best"]
    assert client.delete(f"{root}/best?was={line[0].pk}").status_code == 409
    assert client.delete(f"{root}/best").json()["checkpoint"]["number"] == 2
    assert client.delete(f"{root}/best").status_code == 404
