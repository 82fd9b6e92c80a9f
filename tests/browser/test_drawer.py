"""Uploads in the drawer: on from page to page, after a reload, without a network, without a login."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OWNER, log_in
from tests.browser.test_accessible import RULES, RUN
from tests.consolidation.formats.files import mlp_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import (
        Browser,
        BrowserContext,
        CDPSession,
        Dialog,
        Locator,
        Page,
        Request,
        Route,
        StorageState,
    )

    from tests.browser.conftest import Site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

SLOW = 150_000  # bytes a second: the file below takes some ten seconds
expect.set_options(timeout=20_000)  # the checker may be busy with another test's file
EVIL = b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R."


@dataclass
class Sender:
    """A page whose line can be slow or dead, and what it sent to the upload application."""

    page: Page
    project: str
    sent: list[tuple[str, str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._note)
        self.line: CDPSession = self.page.context.new_cdp_session(self.page)
        self.line.send("Network.enable")

    def _note(self, request: Request) -> None:
        if "/upload/" in request.url and request.method in {"POST", "HEAD", "PATCH", "DELETE"}:
            self.sent.append((request.method, request.headers.get("upload-offset")))

    def speed(self, rate: int = -1, *, dead: bool = False) -> None:
        conditions = {"offline": dead, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate}
        self.line.send("Network.emulateNetworkConditions", conditions)

    def begin(self, file: Path, rate: int = SLOW) -> None:
        """Choose the file on the upload page and press Upload; returns when its first bytes went off."""
        self.page.goto(f"{self.project}upload/")
        self.page.locator("input#file").set_input_files(file)
        self.speed(rate)
        self.page.get_by_role("button", name="Upload", exact=True).click()
        self.page.wait_for_function("() => Number(document.querySelector('[data-row] progress')?.value) > 20")

    def walk(self) -> None:
        """Go to another page by a link, as a person does."""
        self.page.get_by_role("link", name="Schedules", exact=True).click()
        self.page.wait_for_url("**/schedules/")

    @property
    def drawer(self) -> Locator:
        return self.page.locator("[data-drawer]")

    def open(self) -> Locator:
        """The drawer, open."""
        toggle = self.page.locator("[data-drawer-toggle]")
        toggle.wait_for()
        if toggle.get_attribute("aria-expanded") == "false":
            toggle.click()
        return self.drawer

    def offsets(self) -> list[int]:
        """Where each PATCH began."""
        return [int(offset or -1) for method, offset in self.sent if method == "PATCH"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of 1.6 MB that describes itself."""
    return mlp_file(tmp_path_factory.mktemp("models") / "support-bot.safetensors", (400, 1000, 3))


@dataclass
class Home:
    """A browser's memory in which the owner is logged in, and a project of theirs."""

    state: StorageState
    project: str


@pytest.fixture(scope="module")
def home(browser: Browser, site: Site) -> Home:
    context = browser.new_context()
    page = context.new_page()
    log_in(page, site)
    page.goto(f"{site.url}/projects/new/")
    page.get_by_label("Name").fill("Support bot")
    page.get_by_role("button", name="Make the project").click()
    page.wait_for_url(re.compile(r"/projects/[0-9a-f-]{36}/$"))
    made = Home(context.storage_state(), page.url)
    context.close()
    return made


@pytest.fixture
def sender(home: Home, page: Page, site: Site) -> Iterator[Sender]:
    context = page.context
    cookies: Any = home.state["cookies"]  # what comes out and what goes in are two types
    context.add_cookies(cookies)
    yield Sender(page, home.project)
    # A test that failed must leave nothing in the drawer of the next.
    token = next((one["value"] for one in context.cookies() if one["name"] == "nocturne-csrf"), "")
    headers = {"Tus-Resumable": "1.0.0", "X-CSRFToken": token, "Origin": site.url}
    for upload in listed(context, site):
        if upload["state"] == "receiving":
            context.request.delete(f"{site.url}/upload/{upload['id']}", headers=headers)


def listed(context: BrowserContext, site: Site) -> list[dict[str, Any]]:
    """The owner's uploads, newest first."""
    found: list[dict[str, Any]] = context.request.get(f"{site.url}/api/uploads").json()
    return found


def serious(problems: list[str]) -> list[str]:
    """Chromium tells of every refused request. A page that comes before the server has noticed that the old
    one went is sent to the right place by a 409, and that is no problem."""
    return [problem for problem in problems if "409 (Conflict)" not in problem]


def answered(page: Page) -> list[str]:
    """The kinds of dialogs that the page shows from now on; each is agreed to."""
    shown: list[str] = []

    def agree(dialog: Dialog) -> None:
        shown.append(dialog.type)
        dialog.accept()

    page.on("dialog", agree)
    return shown


def test_an_upload_goes_on_from_page_to_page_until_it_is_ready(
    sender: Sender, model: Path, problems: list[str]
) -> None:
    page, asked = sender.page, answered(sender.page)
    sender.begin(model)
    expect(sender.drawer).to_be_hidden()  # the page itself shows it
    sender.walk()
    drawer = sender.open()
    expect(drawer).to_contain_text(re.compile(r"Uploading \d+ %.· .+ of 1\.6 MB"))
    sender.walk()
    expect(drawer).to_contain_text("Uploading")
    sent = sender.offsets()
    assert sent == sorted(sent), "no page begins anew"
    assert sent[0] == 0 < sent[-1]
    assert asked == [], "nobody is warned of a page that goes on with it"
    sender.speed()
    page.get_by_role("link", name="Open the checkpoint").wait_for()
    expect(drawer.locator("[data-sha-value]")).to_have_text(re.compile("^[0-9a-f]{64}$"))
    page.get_by_role("link", name="Open the checkpoint").click()
    page.wait_for_url("**/checkpoints/**")
    expect(sender.drawer).to_be_hidden()
    page.reload()
    page.wait_for_load_state("networkidle")
    expect(sender.drawer).to_be_hidden()
    assert serious(problems) == []


@pytest.fixture
def forgetful(browser: Browser, home: Home) -> Iterator[Sender]:
    """A browser in which no service worker may run, as on plain http: files are lost with the page."""
    context = browser.new_context(storage_state=home.state, service_workers="block")
    context.set_default_timeout(20_000)
    yield Sender(context.new_page(), home.project)
    context.close()


def test_when_the_file_is_gone_the_same_file_goes_on_where_it_stopped(
    forgetful: Sender, site: Site, model: Path, tmp_path: Path
) -> None:
    sender, page = forgetful, forgetful.page
    sender.begin(model)
    page.reload()
    drawer = sender.open()
    expect(drawer).to_contain_text(re.compile(r"Interrupted at \d+ %. Everything up to there is kept."))
    other = mlp_file(tmp_path / model.name, (4, 5, 3))
    page.locator("[data-drawer] input[type=file]").set_input_files(other)
    expect(drawer).to_contain_text("That is another file. This upload began with support-bot.safetensors")
    while not (kept := listed(page.context, site)[0]["received_bytes"]):
        page.wait_for_timeout(50)  # the server notices in its own time that the connection is gone
    sender.sent.clear()
    sender.speed()
    page.locator("[data-drawer] input[type=file]").set_input_files(model)
    page.get_by_role("link", name="Open the checkpoint").wait_for()
    assert sender.sent == [("HEAD", None), ("PATCH", str(kept))], "no byte before it was sent again"


def test_offline_it_says_so_and_goes_on_by_itself(sender: Sender, model: Path) -> None:
    sender.begin(model)
    sender.walk()
    drawer = sender.open()
    drawer.get_by_role("button", name="Pause").click()
    expect(drawer).to_contain_text(re.compile(r"Paused at \d+ %"))
    sender.page.reload()
    expect(drawer).to_contain_text(re.compile(r"Paused at \d+ %"))
    sender.speed(dead=True)
    drawer.get_by_role("button", name="Resume").click()
    expect(drawer).to_contain_text(
        re.compile(r"Offline at [1-9]\d* %. Nothing is lost; it goes on by itself.")
    )
    sender.speed()
    drawer.get_by_role("link", name="Open the checkpoint").wait_for()
    assert sender.offsets()[-1] > 0


def test_after_a_new_login_it_goes_on(sender: Sender, model: Path, site: Site) -> None:
    page, context = sender.page, sender.page.context
    sender.begin(model)
    sender.walk()
    drawer = sender.open()
    drawer.get_by_role("button", name="Pause").click()
    context.clear_cookies(name="nocturne")
    drawer.get_by_role("button", name="Resume").click()
    expect(drawer).to_contain_text(re.compile(r"Logged out at [1-9]\d* %. Nothing is lost."))
    with context.expect_page() as opening:
        drawer.get_by_role("link", name="Log in again to continue").click()
    door = opening.value
    door.get_by_label(re.compile("E-?mail")).fill(OWNER[0])
    door.get_by_label("Password").fill(OWNER[1])
    door.locator("main form button[type=submit]").first.click()
    door.wait_for_url(f"{site.url}/")
    door.close()
    sender.speed()
    page.evaluate("dispatchEvent(new Event('focus'))")
    drawer.get_by_role("link", name="Open the checkpoint").wait_for()


HELD = """async (id) => {
  const { active } = await navigator.serviceWorker.getRegistration("/static/js/keeper/");
  const { port1, port2 } = new MessageChannel();
  active.postMessage({ act: "take", id }, [port2]);
  return new Promise((resolve) => (port1.onmessage = (event) => resolve(event.data?.name ?? null)));
}"""


def test_after_a_log_out_the_browser_holds_no_file_and_no_name(
    browser: Browser, home: Home, site: Site, model: Path
) -> None:
    """The next person here may be another one; the same person goes on with the same file."""
    context = browser.new_context()
    context.set_default_timeout(20_000)
    page = context.new_page()
    log_in(page, site)
    sender = Sender(page, home.project)
    sender.begin(model)
    sender.walk()
    sender.open().get_by_role("button", name="Pause").wait_for()
    upload = listed(context, site)[0]["id"]
    assert page.evaluate(HELD, upload) == model.name
    page.locator("[data-menu] summary").last.click()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/accounts/login/**")
    assert page.evaluate(HELD, upload) is None
    assert model.stem not in page.evaluate("JSON.stringify({ ...localStorage, ...sessionStorage })")
    log_in(page, site)
    sender.speed()
    page.goto(home.project)
    sender.open()
    page.locator("[data-drawer] input[type=file]").set_input_files(model)
    page.get_by_role("link", name="Open the checkpoint").wait_for()
    context.close()


def test_a_log_out_that_is_pressed_at_once_waits_for_what_lets_go_of_the_files(
    browser: Browser, home: Home, site: Site, model: Path
) -> None:
    """The drawer of the page is still on its way while the file of the page before is held."""
    context = browser.new_context()
    context.set_default_timeout(20_000)
    page = context.new_page()
    log_in(page, site)
    sender = Sender(page, home.project)
    sender.begin(model)
    sender.walk()
    sender.open().get_by_role("button", name="Pause").wait_for()
    upload = listed(context, site)[0]["id"]
    held: list[Route] = []
    page.route("**/js/drawer.js", lambda route: held.append(route))
    with page.expect_request("**/js/drawer.js"):  # the shell stands, and waits for the drawer
        page.reload(wait_until="commit")
    page.locator("[data-menu] summary").last.click()
    sender.speed()
    button = page.get_by_role("button", name="Log out")
    button.click()
    button.click()
    page.wait_for_timeout(500)
    assert page.url.endswith("/schedules/")
    assert len(held) == 1
    assert page.evaluate(HELD, upload) == model.name
    held[0].continue_()
    page.wait_for_url("**/accounts/login/**")
    assert page.evaluate(HELD, upload) is None
    log_in(page, site)
    page.unroute("**/js/drawer.js")
    page.goto(home.project)
    sender.open().get_by_role("button", name="Cancel").click()
    expect(sender.drawer).to_be_hidden()
    context.close()


def test_a_log_out_before_the_script_of_the_page_lets_go_of_the_files_too(
    browser: Browser, home: Home, site: Site, model: Path
) -> None:
    """It is a plain submit then, and the page that is left keeps its file for the next one."""
    context = browser.new_context()
    context.set_default_timeout(20_000)
    page = context.new_page()
    log_in(page, site)
    sender = Sender(page, home.project)
    sender.begin(model)
    sender.walk()
    sender.open().get_by_role("button", name="Pause").wait_for()
    upload = listed(context, site)[0]["id"]
    page.route("**/js/logout.js", lambda route: route.abort())  # a part of the shell: none of it runs
    page.reload()
    assert page.evaluate(HELD, upload) == model.name
    page.locator("[data-menu] summary").last.click()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/accounts/login/?left")
    assert page.evaluate(HELD, upload) == model.name
    page.unroute("**/js/logout.js")
    page.goto(f"{site.url}/accounts/login/")  # as after a session that ended: the next login goes on
    page.wait_for_load_state("networkidle")
    assert page.evaluate(HELD, upload) == model.name
    page.goto(f"{site.url}/accounts/login/?left")
    page.wait_for_url("**/accounts/login/")  # said once
    page.wait_for_function(f"async () => await ({HELD})({upload!r}) === null")
    log_in(page, site)
    sender.speed()
    page.goto(home.project)
    sender.open().get_by_role("button", name="Cancel").click()
    expect(sender.drawer).to_be_hidden()
    context.close()


def test_one_tab_sends_and_another_takes_over_when_it_is_closed(sender: Sender, model: Path) -> None:
    sender.begin(model, SLOW // 4)  # or a busy machine is done before it has opened the other tab
    other = Sender(sender.page.context.new_page(), sender.project)
    other.page.goto(sender.project)
    drawer = other.open()
    expect(drawer).to_contain_text(re.compile(r"Uploading in another tab, \d+ %"))
    assert other.offsets() == []
    asked = answered(sender.page)
    sender.page.close(run_before_unload=True)
    drawer.get_by_role("link", name="Open the checkpoint").wait_for()
    assert asked == ["beforeunload"]
    # A closing page takes its slow line with it, and its last bytes may leave at once; the other asks anyway.
    assert other.sent[0][0] == "HEAD"
    assert all(offset > 0 for offset in other.offsets())


def test_cancelled_it_leaves_nothing(sender: Sender, model: Path, site: Site) -> None:
    sender.begin(model)
    sender.walk()
    with sender.page.expect_response(lambda answer: answer.request.method == "DELETE") as answered:
        sender.open().get_by_role("button", name="Cancel").click()
    assert answered.value.status == 204
    expect(sender.drawer).to_be_hidden()
    upload = listed(sender.page.context, site)[0]
    assert upload["state"] == "aborted"
    assert not (site.data / "store" / ".incoming" / f"{upload['id']}.part").exists()


def test_a_file_without_room_is_refused_before_its_first_byte(sender: Sender, tmp_path: Path) -> None:
    huge = tmp_path / "huge.safetensors"
    with huge.open("wb") as file:
        file.truncate(60 * 10**9)  # a hole; the workspace has 50 GB
    page = sender.page
    page.goto(f"{sender.project}upload/")
    page.locator("input#file").set_input_files(huge)
    page.get_by_role("button", name="Upload", exact=True).click()
    expect(page.locator("[data-refused]")).to_contain_text("This file is 60.0 GB; the workspace has")
    expect(page.locator("[data-refused-code]")).to_have_text("upload.quota")
    assert sender.sent == [("POST", None)]
    expect(sender.drawer).to_be_hidden()


def test_a_refusal_is_told_in_the_drawer_and_it_is_used_by_keyboard(
    sender: Sender, tmp_path: Path, problems: list[str]
) -> None:
    page = sender.page
    with zipfile.ZipFile(tmp_path / "evil.pt", "w") as archive:
        archive.writestr("evil/data.pkl", EVIL)
        archive.writestr("evil/data/0", bytes(600_000))
    sender.begin(tmp_path / "evil.pt", SLOW // 2)
    sender.walk()
    page.locator("[data-drawer-toggle]").wait_for()
    page.locator("[data-drawer-toggle]").focus()
    page.keyboard.press("Enter")
    drawer = sender.drawer
    expect(drawer.get_by_role("button", name="Pause")).to_be_visible()
    assert looked_at(page) == []
    sender.speed()
    expect(drawer).to_contain_text("evil.pt asks for posix.system; only tensor types are accepted.")
    expect(drawer).to_contain_text("pickle.global_forbidden")
    expect(page.locator("[data-drawer-say]")).to_contain_text(
        "evil.pt, Refused, evil.pt asks for posix.system"
    )
    assert looked_at(page) == []
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 360, "height": 740})
    assert looked_at(page) == []
    box = drawer.bounding_box()
    assert box is not None
    assert (box["x"], box["width"]) == (0, 360)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.act") == "dismiss"
    page.keyboard.press("Escape")
    expect(page.locator("[data-drawer-list]")).to_be_hidden()
    assert page.evaluate("'drawerToggle' in document.activeElement.dataset")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(drawer).to_be_hidden()
    assert serious(problems) == []


def looked_at(page: Page) -> list[Any]:
    """What axe-core finds on the page as it is."""
    page.evaluate(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found: list[Any] = page.evaluate(RUN, {"only": {"type": "tag", "values": RULES}, "off": []})
    return found


def test_a_file_of_this_computer_is_taken_in_without_sending_it(
    sender: Sender, site: Site, problems: list[str]
) -> None:
    folder = site.data.parent / "models" / "older"
    folder.mkdir(exist_ok=True)
    mlp_file(folder / "there.safetensors")
    page = sender.page
    page.goto(f"{sender.project}upload/")
    page.get_by_role("button", name="Use a file on this computer").click()
    picker = page.get_by_role("dialog", name="Use a file on this computer")
    for name in ("models", "older", "there.safetensors"):
        picker.locator(".picker__entry", has_text=name).click()
        assert looked_at(page) == []
    expect(picker).to_be_hidden()
    page.get_by_role("button", name="Upload", exact=True).click()
    page.get_by_role("link", name="Open the new checkpoint").click()
    page.wait_for_url("**/checkpoints/**")
    assert sender.sent == []
    assert serious(problems) == []
