// Loads a bundle in current Pyodide under Node, as the edge runtime lays it out, and says how long
// that took: `node startup.mjs BUNDLE`. Prints one line of JSON. What only workerd has (env, ctx,
// requests) is not there: this proves that every module loads, and what loading costs.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { loadPyodide } from "pyodide";

const bundle = process.argv[2];
const started = performance.now();
const python = await loadPyodide({ checkAPIVersion: false });
const booted = performance.now();

const root = "/session/metadata";
function copy(folder, target) {
  python.FS.mkdirTree(target);
  for (const name of readdirSync(folder).sort()) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) {
      copy(path, `${target}/${name}`);
    } else {
      python.FS.writeFile(`${target}/${name}`, readFileSync(path));
    }
  }
}
// The main module's folder becomes the root; vendored packages lie beside the modules.
copy(join(bundle, "src"), root);
copy(join(bundle, "python_modules"), `${root}/python_modules`);

// Modules that workerd gives to the SDK.
python.registerJsModule("_pyodide_entrypoint_helper", {
  cloudflareWorkersModule: {},
  cloudflareSocketsModule: {},
  doAnImport: async () => ({}),
  patchWaitUntil: () => {},
});
python.registerJsModule("_cloudflare_compat_flags", {
  python_workflows_implicit_dependencies: true,
  python_request_headers_preserve_commas: true,
});

const report = await python.runPythonAsync(`
import sys, time, json, os, random, secrets, uuid

sys.path[:0] = ["${root}", "${root}/python_modules"]

def refusing(name):
    def refuse(*_args, **_kwargs):
        raise RuntimeError(f"{name}() was called at import")
    return refuse

for owner, names in ((os, ("urandom",)), (random, ("random", "getrandbits")), (uuid, ("uuid4",))):
    for name in names:
        setattr(owner, name, refusing(f"{owner.__name__}.{name}"))

before = set(sys.modules)
begun = time.perf_counter()
import main
took = time.perf_counter() - begun
loaded = set(sys.modules) - before
ours = [n for n in loaded if n.split(".")[0] in ("worker", "kv", "r2", "d1_schema", "durable")]
exported = sorted(n for n, v in vars(main).items() if isinstance(v, type) and v.__module__.split(".")[0] in ("worker", "durable"))
json.dumps({
    "python": sys.version.split()[0],
    "import_ms": round(took * 1000),
    "modules": len(loaded),
    "own_modules": len(ours),
    "exported_classes": exported,
})
`);
console.log(JSON.stringify({ ...JSON.parse(report), boot_ms: Math.round(booted - started) }));
