// Imports modules in the current Pyodide: node load.mjs < {"files": {path: text}, "modules": […]}
//
// Prints {"python", "failed": {module: error}} as one line of JSON.

import { loadPyodide } from "pyodide";

let input = "";
for await (const chunk of process.stdin) input += chunk;
const { files, modules } = JSON.parse(input);

const pyodide = await loadPyodide();
for (const [path, text] of Object.entries(files)) {
  pyodide.FS.mkdirTree(`/bundle/${path}`.replace(/\/[^/]*$/, ""));
  pyodide.FS.writeFile(`/bundle/${path}`, text);
}
const report = pyodide.runPython(`
import importlib, json, sys, traceback
sys.path.insert(0, "/bundle")
failed = {}
for module in ${JSON.stringify(modules)}:
    try:
        importlib.import_module(module)
    except BaseException:
        failed[module] = traceback.format_exc()
json.dumps({"python": sys.version.split()[0], "failed": failed})
`);
console.log(report);
