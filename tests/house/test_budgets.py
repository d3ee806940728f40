"""Budgets and manners of every source file: lengths, docstrings, words that must not appear."""

import ast
import re
from collections.abc import Iterator
from statistics import quantiles

from tests.house.sources import PRODUCT, ROOT, Source, sources

# The hard stops, and what nine of ten keep to: nothing is cut only for its length.
FILE_LINES = 450
TEST_FILE_LINES = 600
FUNCTION_LINES = 60
MOST_FILES_LINES = 300
MOST_FUNCTIONS_LINES = 30
# So that worker/ can be read at a glance.
ROOT_FILES = 25
# Spelt apart, so that this file does not hold them itself. "Stub" is Cloudflare's word for the
# handle of an actor, and free in durable/ and where actors are called.
WORDS = [
    "TO" + "DO",
    "FIX" + "ME",
    "X" * 3,
    "NotImplemented" + "Error",
    "for " + "now",
    "simpli" + "fied",
]
FORBIDDEN = re.compile(rf"\b(?:{'|'.join(WORDS)})\b")
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc"}


def places(found: Iterator[str]) -> str:
    """Join what was found, one a line, for the message of an assertion."""
    return "\n".join(found)


def test_no_file_is_longer_than_its_budget() -> None:
    """A longer file has more than one subject."""

    def too_long() -> Iterator[str]:
        for source in sources():
            budget = TEST_FILE_LINES if source.is_test else FILE_LINES
            if source.lines > budget:
                yield f"{source.path} has {source.lines} lines, allowed are {budget}"

    assert places(too_long()) == ""


def test_no_function_is_longer_than_a_screen() -> None:
    """60 lines are the end; most have far fewer."""

    def too_long() -> Iterator[str]:
        for source in sources():
            for function in source.functions():
                length = (function.end_lineno or function.lineno) - function.lineno + 1
                if length > FUNCTION_LINES:
                    yield f"{source.path}:{function.lineno} {function.name} has {length} lines"

    assert places(too_long()) == ""


def test_most_files_and_functions_are_short() -> None:
    """Nine of ten."""
    files = [source.lines for source in sources()]
    functions = [
        (function.end_lineno or function.lineno) - function.lineno + 1
        for source in sources()
        for function in source.functions()
    ]

    assert quantiles(files, n=10)[-1] <= MOST_FILES_LINES
    assert quantiles(functions, n=10)[-1] <= MOST_FUNCTIONS_LINES


def test_the_root_of_the_worker_is_read_at_a_glance() -> None:
    """What belongs together has a folder."""
    assert len(list((ROOT / "worker").glob("*.py"))) <= ROOT_FILES


def test_a_door_is_one_line() -> None:
    """The table of doors can be read as a table."""
    table = next(source for source in sources() if source.path == "worker/routes.py")
    rows = next(
        node.value.elts
        for node in table.tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Tuple)
    )

    assert len(rows) > 50
    assert [row.lineno for row in rows if row.lineno != row.end_lineno] == []


def test_every_file_says_what_it_is_for() -> None:
    """Each module begins with a docstring."""
    bare = (source.path for source in sources() if not ast.get_docstring(source.tree))

    assert places(bare) == ""


def test_every_test_says_what_it_proves() -> None:
    """Each test function has a docstring that states the behaviour."""
    bare = (
        f"{source.path}:{function.lineno} {function.name}"
        for source in sources()
        if source.is_test
        for function in source.functions()
        if function.name.startswith("test_") and not ast.get_docstring(function)
    )

    assert places(bare) == ""


def test_every_public_name_is_documented() -> None:
    """Public classes, functions and methods of the product have docstrings."""
    bare = (
        f"{source.path}:{line} {name}"
        for source in sources()
        if source.path.startswith(PRODUCT)
        for line, name in undocumented(source)
    )

    assert places(bare) == ""


def undocumented(source: Source) -> Iterator[tuple[int, str]]:
    """Yield line and name of what is public in *source* and says nothing about itself."""
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield node.lineno, node.name
            # Whoever implements a promise inherits its words.
            if not node.bases or {ast.unparse(base) for base in node.bases} & {"ABC", "Protocol"}:
                yield from _bare_functions(node.body, f"{node.name}.")
    yield from _bare_functions(source.tree.body, "")


def _bare_functions(body: list[ast.stmt], prefix: str) -> Iterator[tuple[int, str]]:
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        is_overload = "overload" in {ast.unparse(mark) for mark in node.decorator_list}
        if not node.name.startswith("_") and not is_overload and not ast.get_docstring(node):
            yield node.lineno, prefix + node.name


def test_words_that_promise_work_for_later_do_not_appear() -> None:
    """What is here is finished; what is not finished is not here."""
    found = (
        f"{source.path}:{number} {line.strip()}"
        for source in sources()
        for number, line in enumerate(source.text.splitlines(), 1)
        if FORBIDDEN.search(line)
    )

    assert places(found) == ""


def test_no_file_is_a_drawer() -> None:
    """A file is named by its subject, never "utils" or the like."""
    drawers = (
        str(path.relative_to(ROOT))
        for source in sources()
        for path in [ROOT / source.path]
        if {path.stem, path.parent.name} & DRAWERS
    )

    assert places(drawers) == ""


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    """
    Marks that pass over tests are not used.

    Only a fixture may skip, where a tool is absent at home, and it fails in CI instead.
    """
    mark = re.compile(r"pytest\.(?:mark\.(?:skip|skipif|xfail)|xfail|importorskip)\b")
    bare = re.compile(r"pytest\.skip\b")
    found = (
        f"{source.path}:{number}"
        for source in sources()
        if source.is_test
        for number, line in enumerate(source.text.splitlines(), 1)
        if mark.search(line)
        or (bare.search(line) and not ("pytest.fail" in source.text and '"CI"' in source.text))
    )

    assert places(found) == ""
