"""Every portable module loads in the current Pyodide, the Python that Cloudflare runs today."""

import json
import subprocess

from tests.edge.bundle import built
from tests.edge.workerd import NODE_FOLDER
from tests.house.sources import ROOT
from tests.house.test_portable_modules import portable_modules

# The SDK stays out: it needs the runtime itself.
_PACKAGES = tuple(
    f"python_modules/{name}/" for name in ("dilithium_py", "fastjsonschema", "google", "jwt")
)


def test_every_portable_module_loads_in_current_pyodide(node: None) -> None:
    """
    All of them, also those that the entry does not reach, with the vendored packages beside.
    """
    modules = portable_modules()
    files = {
        path.removeprefix("python_modules/"): data.decode()
        for path, data in built().items()
        if path.startswith(_PACKAGES)
    }
    for generated in ROOT.glob("worker/**/*_pb2.py"):
        files[str(generated.relative_to(ROOT))] = generated.read_text("utf-8")
    for module in modules:
        place = ROOT.joinpath(*module.split("."))
        path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        files[str(path.relative_to(ROOT))] = path.read_text("utf-8")

    done = subprocess.run(
        ["node", "load.mjs"],
        cwd=NODE_FOLDER,
        input=json.dumps({"files": files, "modules": modules}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["failed"] == {}
    assert report["python"].startswith("3.14")
