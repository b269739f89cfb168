"""Puts a Python script of this folder into a virtual environment under .build/ whose packages are pinned.

`enter("onnx")` installs requirements-onnx.txt (every file checked against its hash) on the first run, or when the
file has changed, and starts the script again inside. It uses nothing but the standard library.
"""

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def enter(name):
    environment = ROOT / ".build" / "python" / name
    python = environment / "bin" / "python"
    if python.exists() and os.path.samefile(sys.prefix, environment):
        return
    requirements = ROOT / "scripts" / f"requirements-{name}.txt"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    stamp = environment / "installed"
    environment.parent.mkdir(parents=True, exist_ok=True)
    with open(environment.parent / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Two scripts share one environment, and may start together.
        if not stamp.exists() or stamp.read_text() != wanted:
            print(f"Installing {requirements.name} into {environment.relative_to(ROOT)}", file=sys.stderr)
            create(environment)
            installed = subprocess.run(
                [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
                 "--only-binary", ":all:", "--require-hashes", "-r", requirements])
            if installed.returncode != 0:
                raise SystemExit(
                    f"{requirements.name} cannot be installed (above). PyTorch's CPU wheels (+cpu) are not on PyPI: set "
                    "PIP_EXTRA_INDEX_URL to the index that PyTorch's installation page names for CPU")
            stamp.write_text(wanted)  # Last, so that an interrupted installation starts afresh.
    os.execv(python, [python, *sys.argv])


def create(environment):
    # Wheels are pinned for Python 3.11, Debian 12's, on x86-64.
    interpreter = shutil.which("python3.11") or sys.executable
    asked = [interpreter, "-c", "import platform, sys; print(*sys.version_info[:2], platform.machine())"]
    found = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()
    if found != ["3", "11", "x86_64"]:
        raise SystemExit(
            f"the pinned packages are for Python 3.11 on x86-64; {interpreter} is {'.'.join(found[:2])} on {found[2]}")
    if subprocess.run([interpreter, "-c", "import ensurepip, venv"], stderr=subprocess.DEVNULL).returncode != 0:
        as_root = [] if os.geteuid() == 0 else ["sudo"]
        subprocess.run([*as_root, "apt-get", "update", "-qq"], check=True)
        subprocess.run([*as_root, "apt-get", "install", "-qq", "-y", "python3-venv"], check=True)
    shutil.rmtree(environment, ignore_errors=True)
    subprocess.run([interpreter, "-m", "venv", environment], check=True)
