"""D1, R2, Durable Objects and imports in the console, as a person uses them in Chromium."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Complaints, ConsoleHost, OpenPage
from tests.browser.looks import NARROW, check_contrast, check_fits, check_form
from tests.browser.seeding import NASTY
from tests.browser.test_console import tab_to
from tests.support.profiles import line, many, ndjson

SQL = "/_console/d1/DB/sql"
NAME = NASTY.replace("\0", "")
_QUOTED = '"' + NAME.replace('"', '""') + '"'
_TEXT = "'" + NAME.replace("'", "''") + "'"
MAKE = f"""
CREATE TABLE IF NOT EXISTS notes
  (id INTEGER PRIMARY KEY, body TEXT NOT NULL DEFAULT 'x', data, n REAL);
CREATE INDEX IF NOT EXISTS notes_by_body ON notes (body, id);
CREATE TRIGGER IF NOT EXISTS notes_guard BEFORE DELETE ON notes WHEN old.id = 1
BEGIN SELECT RAISE(FAIL, 'the first note stays'); END;
CREATE VIEW IF NOT EXISTS note_lengths AS SELECT id, length(body) AS length FROM notes;
INSERT OR REPLACE INTO notes VALUES (1, {_TEXT}, x'00ff10', 1.5), (2, '', NULL, 9007199254740993),
  (3, replace(hex(zeroblob(700)), '0', 'long '), zeroblob(2000), -1);
WITH RECURSIVE n(i) AS (SELECT 4 UNION ALL SELECT i + 1 FROM n WHERE i < 120)
INSERT OR REPLACE INTO notes SELECT i, 'note ' || i, NULL, i / 7.0 FROM n;
CREATE TABLE IF NOT EXISTS {_QUOTED} ({_QUOTED} TEXT DEFAULT {_TEXT});
"""

PAGES = {
    "d1": "/_console/d1",
    "d1_tables": "/_console/d1/DB",
    "d1_table": "/_console/d1/DB/table?name=notes",
    "d1_view": "/_console/d1/DB/table?name=note_lengths",
    "d1_sql": f"{SQL}?sql=SELECT+1",
    "d1_migrations": "/_console/d1/DB/migrations",
    "r2": "/_console/r2",
    "r2_top": "/_console/r2/BLOBS",
    "r2_folder": "/_console/r2/BLOBS?prefix=odd%2F",
    "r2_object": "/_console/r2/BLOBS/object?key=pictures/dot.txt",
    "r2_delete": "/_console/r2/BLOBS/delete?key=pictures/dot.txt",
    "r2_nothing": "/_console/r2/BLOBS/object?key=nothing",
    "objects": "/_console/objects",
    "objects_class": "/_console/objects/ImportRoom",
    "imports": "/_console/imports",
}


@pytest.fixture(scope="module", autouse=True)
def data(
    browser: Browser, console_host: ConsoleHost, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Tables and an import with errors, made through the console itself."""
    with browser.new_context(base_url=console_host.url) as context:
        page = context.new_page()
        page.goto(console_host.link)
        write(page, MAKE)
        expect(page.get_by_role("heading", name="Result")).to_be_visible()
        expect(page.get_by_role("alert")).to_have_count(0)
        file = tmp_path_factory.mktemp("imports") / "mixed.ndjson"
        bad = line("usr_bbbbbb", assertiveness_level=9, user_name=1)
        file.write_bytes(ndjson([line("usr_aaaaaa"), bad, b"no json", b"{}"] + [b"[]"] * 250))
        import_file(page, file)
        expect(page.get_by_role("heading", name="Report", exact=True)).to_be_visible()


def write(page: Page, sql: str) -> None:
    """Run *sql* with writes allowed."""
    page.goto(SQL)
    page.get_by_label("SQL", exact=True).fill(sql)
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Run and write").click()


def import_file(page: Page, file: Path) -> None:
    """Choose *file* on the page of imports and send it."""
    page.goto("/_console/imports")
    page.get_by_label("Profiles as NDJSON").set_input_files(file)
    page.get_by_role("button", name="Import").click()


def look_at(page: Page, name: str, shoot: Callable[[Page, str], None]) -> None:
    """Judge the page that is open, in light, dark and narrow, and keep pictures."""
    check_form(page)
    check_contrast(page)
    check_fits(page)
    shoot(page, f"{name}-light")
    page.emulate_media(color_scheme="dark")
    check_contrast(page)
    shoot(page, f"{name}-dark")
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    check_fits(page)
    shoot(page, f"{name}-narrow")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.emulate_media(color_scheme="light")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_fit_to_be_read(
    name: str, page: Page, complaints: Complaints, shoot: Callable[[Page, str], None]
) -> None:
    """Labels, captions, contrast in light and dark, no sideways scroll at 360 pixels."""
    page.goto(PAGES[name])
    look_at(page, name, shoot)
    if name == "r2_nothing":
        complaints.expect("status of 404")


def test_the_pages_say_the_same_without_javascript(
    open_page: OpenPage, complaints: Complaints
) -> None:
    """Heading and content stand in each page as it was sent."""
    page = open_page(java_script_enabled=False)
    for address in PAGES.values():
        page.goto(address)
        assert page.locator("h1").inner_text(), address
        assert page.locator("main").inner_text().count("\n") > 1, address
    complaints.expect("status of 404")


def test_tables_are_walked_from_the_overview_to_the_last_page(page: Page) -> None:
    """D1, its table, the next pages of rows, and what is stored stays text."""
    page.goto("/_console/d1")
    page.get_by_role("link", name="DB", exact=True).click()
    page.get_by_role("link", name="notes", exact=True).click()

    expect(page.get_by_role("cell", name="NULL").first).to_be_visible()
    expect(page.locator("td", has_text="<script>alert('xss')</script>")).to_be_visible()
    page.get_by_role("link", name="Next page").click()
    page.get_by_role("link", name="Next page").click()
    expect(page.get_by_text("note 120")).to_be_visible()
    expect(page.get_by_text("This is the last page.")).to_be_visible()


def test_the_sql_box_reads_and_refuses_to_write(
    page: Page, complaints: Complaints, shoot: Callable[[Page, str], None]
) -> None:
    """Reading shows rows; a write is refused with a reason; the switch writes once."""
    page.goto(SQL)
    page.get_by_label("SQL", exact=True).fill(
        "SELECT * FROM notes ORDER BY id LIMIT 3; SELECT 1 AS one"
    )
    page.get_by_role("button", name="Run, reading only").click()
    expect(page.get_by_text("3 rows in")).to_be_visible()
    look_at(page, "d1_sql_result", shoot)

    page.get_by_label("SQL", exact=True).fill("DELETE FROM notes")
    page.get_by_role("button", name="Run, reading only").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was changed")
    complaints.expect("status of 400")
    look_at(page, "d1_sql_refused", shoot)

    page.get_by_role("button", name="Run and write").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was run")
    complaints.expect("status of 400")
    page.get_by_label("SQL", exact=True).fill("UPDATE notes SET n = 7 WHERE id = 4")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Run and write").click()
    expect(page.get_by_text("writes were allowed")).to_be_visible()
    expect(page.get_by_text("1 written")).to_be_visible()
    expect(page.get_by_role("checkbox")).not_to_be_checked()
    look_at(page, "d1_sql_written", shoot)


def test_the_sql_box_is_worked_by_keyboard(page: Page) -> None:
    """Tab leads into the box, out of it, and to both buttons; Enter runs."""
    page.goto(SQL)
    tab_to(page, "sql")
    page.keyboard.type("SELECT 6 * 7 AS answer")
    tab_to(page, "Run, reading only")
    page.keyboard.press("Enter")

    expect(page.get_by_role("cell", name="42")).to_be_visible()


@pytest.mark.parametrize("java_script_enabled", [True, False])
def test_a_file_goes_up_and_comes_down(
    open_page: OpenPage, complaints: Complaints, tmp_path: Path, java_script_enabled: bool
) -> None:
    """Upload, a refusal to replace, replacing, download with the same bytes, delete."""
    page = open_page(java_script_enabled=java_script_enabled, accept_downloads=True)
    content = hashlib.sha256(b"seed").digest() * 200_000
    file = tmp_path / f"round trip ü {java_script_enabled}.bin"
    file.write_bytes(content)

    def send(*, replace: bool) -> None:
        page.goto("/_console/r2/BLOBS?prefix=trips%2F")
        page.get_by_label("File", exact=True).set_input_files(file)
        if replace:
            page.get_by_role("checkbox").check()
        page.get_by_role("button", name="Upload").click()

    send(replace=False)
    expect(page.get_by_role("status")).to_have_text("Stored 6,400,000 bytes.")
    assert page.locator("h1").inner_text() == f"trips/{file.name}"
    send(replace=False)
    expect(page.locator(".notice.bad:visible")).to_contain_text("already")
    complaints.expect("status of 409")
    send(replace=True)
    expect(page.get_by_role("status")).to_have_text("Stored 6,400,000 bytes.")

    with page.expect_download() as coming:
        page.get_by_role("link", name="Download").click()
    saved = tmp_path / "saved"
    coming.value.save_as(saved)
    assert coming.value.suggested_filename == file.name
    assert saved.read_bytes() == content

    page.get_by_role("link", name="Delete …").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_contain_text("Deleted the object")


def test_a_stored_page_is_saved_and_never_opened(page: Page, tmp_path: Path) -> None:
    """HTML with a script becomes a download; the browser stays where it was."""
    file = tmp_path / "evil.html"
    file.write_text("<script>document.title = 'owned'; alert(1)</script>")
    page.goto("/_console/r2/BLOBS")
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_label("Content-Type").fill("text/html")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("dd", has_text="text/html")).to_be_visible()
    here = page.url

    with page.expect_download() as coming:
        page.get_by_role("link", name="Download").click()

    assert coming.value.suggested_filename == "evil.html"
    assert page.url == here
    assert "owned" not in page.title()


_WATCH = """
() => {
  const said = [];
  new MutationObserver(() => {
    said.push(document.querySelector("[data-status]").textContent);
    sessionStorage.setItem("said", JSON.stringify(said));
  }).observe(document.querySelector("[data-status]"), {childList: true});
}
"""
_DROP = """
(text) => {
  const held = new DataTransfer();
  held.items.add(new File(Array(5).fill(text), "dropped.ndjson"));
  const zone = document.querySelector("[data-drop]");
  for (const name of ["dragenter", "dragover", "drop"])
    zone.dispatchEvent(new DragEvent(name, {dataTransfer: held, bubbles: true, cancelable: true}));
}
"""


def test_a_dropped_file_is_watched_to_its_end(
    page: Page, shoot: Callable[[Page, str], None]
) -> None:
    """The counts grow while the import runs, then the report comes by itself."""
    page.goto("/_console/imports")
    page.evaluate(_WATCH)
    page.evaluate(_DROP, many(8_000).decode())
    expect(page.get_by_label("Profiles as NDJSON")).to_have_value(re.compile("dropped.ndjson"))
    page.get_by_role("button", name="Import").click()
    expect(page.locator("[data-status]")).to_contain_text("lines read", timeout=20_000)
    shoot(page, "imports_running-light")

    expect(page.get_by_role("heading", name="Report", exact=True)).to_be_visible(timeout=30_000)
    said = json.loads(page.evaluate("() => sessionStorage.getItem('said')"))

    counts = [
        int(found[1].replace(",", ""))
        for text in said
        if (found := re.search(r"([\d,]+) lines read", text))
    ]
    assert any("sent" in text for text in said)
    assert len(set(counts)) > 1
    assert counts == sorted(counts)
    expect(page.get_by_role("status")).to_contain_text("8,000 profiles stored, 0 refused.")


def test_the_report_tells_line_by_line(page: Page, shoot: Callable[[Page, str], None]) -> None:
    """From the list to the report, and through the pages of its errors."""
    page.goto("/_console/imports")
    # The whole cell: 254 may also be part of an id, which holds a time and chance.
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name="254", exact=True))
    expect(row).to_contain_text("done")
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", name="Report", exact=True)).to_be_visible()
    expect(page.locator("td", has_text="assertiveness_level").first).to_be_visible()
    look_at(page, "import_report", shoot)
    page.get_by_role("link", name="Next page").click()
    expect(page.get_by_text("Here: 101 to")).to_be_visible()


def test_an_import_without_javascript_answers_with_its_report(
    open_page: OpenPage, tmp_path: Path
) -> None:
    """The plain form leads to the report."""
    page = open_page(java_script_enabled=False)
    file = tmp_path / "plain.ndjson"
    file.write_bytes(ndjson([line("usr_dddddd")]))

    import_file(page, file)

    expect(page.get_by_role("status")).to_contain_text("1 profiles stored, 0 refused.")


def test_a_refused_import_says_why_and_can_be_tried_again(
    page: Page, complaints: Complaints, tmp_path: Path
) -> None:
    """A file that is nothing leads to a report that says so."""
    file = tmp_path / "empty.ndjson"
    file.write_bytes(b"")

    import_file(page, file)

    expect(page.get_by_role("alert")).to_contain_text("The body holds no line.")


def test_a_room_is_looked_into(
    page: Page, shoot: Callable[[Page, str], None], tmp_path: Path
) -> None:
    """From the class to the room of an import whose report is too long to leave it at once."""
    file = tmp_path / "long_report.ndjson"
    file.write_bytes(b"not a profile\n" * 1000)
    import_file(page, file)
    page.wait_for_url(re.compile("imp_"))
    found = re.search(r"imp_\w+", page.url)
    assert found is not None

    page.goto("/_console/objects")
    page.get_by_role("link", name="ImportRoom").click()
    look_at(page, "objects_class_full", shoot)
    page.get_by_role("link", name=found[0]).first.click()

    expect(page.locator("th", has_text="report")).to_be_visible()
    expect(page.get_by_text("in 59 min").or_(page.get_by_text("in 1 h"))).to_be_visible()
    look_at(page, "object", shoot)
