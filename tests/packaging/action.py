"""Runs the step of action.yml as a runner does, with releases from a folder.

usage: action.py SCRATCH RELEASES
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = Path(sys.argv[1])
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
PROCESSOR = {"x86_64": "X64", "aarch64": "ARM64"}[os.uname().machine]


def run(name: str, **inputs) -> tuple[int, str, dict[str, str]]:
    """The status, what is printed, and the outputs of a run in a copy of the example."""
    folder = SCRATCH / "action" / name
    shutil.copytree(ROOT / "examples/article", folder / "workspace")
    # A second run finds the program of the first one, as on a runner of one's own.
    temp = SCRATCH / "action/temp"
    temp.mkdir(exist_ok=True)
    given = {key: str(it.get("default", "")) for key, it in ACTION["inputs"].items()} | {"releases": sys.argv[2]} | inputs
    [step] = ACTION["runs"]["steps"]
    assert "${{" not in step["run"], "an expression in a script is code"
    output = folder / "output"
    output.touch()
    runner = {
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_OUTPUT": str(output),
        "RUNNER_TEMP": str(temp),
        "RUNNER_OS": "Linux",
        "RUNNER_ARCH": PROCESSOR,
    }
    environment = {key: re.sub(r"\$\{\{ inputs\.(\w+) }}", lambda it: given[it[1]], text) for key, text in step["env"].items()}
    result = subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
        cwd=folder / "workspace",
        env={**os.environ, **runner, **environment},
        capture_output=True,
        text=True,
    )
    outputs = dict(it.split("=", 1) for it in output.read_text().splitlines())
    return result.returncode, result.stdout + result.stderr, outputs


def expect(condition: bool, seen):
    if not condition:
        sys.exit(f"action.yml: not what was expected: {seen}")


# By default it annotates what it finds, and fails.
status, printed, outputs = run("annotations")
expect(status == 1 and "::warning title=Layerwise (copy-before-install),file=Dockerfile," in printed and not outputs, printed)

# A report goes to a file, whose path is an output.
status, printed, outputs = run("report", format="sarif")
report = json.loads(Path(outputs["report"]).read_text())
expect(status == 1 and {"copy-before-install", "min-cache-mode"} <= {it["ruleId"] for it in report["runs"][0]["results"]}, printed)

# Several paths, a further argument with a value, and a clean end.
status, printed, _ = run("clean", path="web\napp\n", args="--min-level error  --ignore=volatile-arg-before-run", format="human")
expect(status == 0, printed)

# Inputs are never run, and are never options.
status, printed, _ = run("hostile", path="$(touch here)\n--fix\n; touch here", args="`touch here`")
expect(status == 2 and not (SCRATCH / "action/hostile/workspace/here").exists(), printed)
status, printed, _ = run("path", version="0/../../x")
expect(status == 2 and "::error title=Layerwise::" in printed, printed)

# A release that is not there, and one that is not what its checksum says.
status, printed, _ = run("missing", version="9.9.9")
expect(status == 2 and "version 9.9.9 cannot be fetched" in printed, printed)
spoilt = SCRATCH / "spoilt/v9.9.8"
shutil.copytree(sys.argv[2].removeprefix("file://") + f"/v{ACTION['inputs']['version']['default']}", spoilt)
for archive in spoilt.glob("*.tar.gz"):
    archive.write_bytes(archive.read_bytes() + b"\0")
status, printed, _ = run("spoilt", version="9.9.8", releases=f"file://{SCRATCH}/spoilt")
expect(status == 2 and "version 9.9.8 cannot be fetched" in printed, printed)
