"""`edgekeep durable list`: which actors have something stored."""

from argparse import Namespace

from scripts.cli.outcome import OK, show_json, table
from scripts.cli.place import Place, add_place
from scripts.cli.verbs import Verbs


def add(verbs: Verbs) -> None:
    """Add the group `durable`."""
    parser = verbs.group("durable", "tell about actors (Durable Objects)").add(
        "list",
        _list,
        "Print the actors with stored data: class, id, size of their file.",
        ["edgekeep durable list", "edgekeep durable list --class ImportRoom --json"],
    )
    parser.add_argument("--class", dest="class_name", help="only actors of this class")
    parser.add_argument("--json", action="store_true", help="for scripts")
    add_place(parser)


def _list(options: Namespace) -> int:
    directory = Place.of(options).state / "durable"
    # durable/embedded.py: <directory>/<class>/<first two digits>/<id>.sqlite
    found = [
        {"class": path.parts[-3], "id": path.stem, "bytes": path.stat().st_size}
        for path in sorted(directory.glob("*/*/*.sqlite"))
        if options.class_name in (None, path.parts[-3])
    ]
    if options.json:
        show_json(found)
    else:
        rows = [(str(row["class"]), str(row["id"]), f"{row['bytes']:,}") for row in found]
        print(table(rows, ("class", "id", "bytes")))
    return OK
