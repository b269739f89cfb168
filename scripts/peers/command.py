"""Our command, and the machine that it runs on."""

import os
import subprocess
import sys
import time

import environment


def build():
    # What the command needs of Debian is installed as for scripts/bench.
    prepared = ["bash", "-c", 'set -euo pipefail; source "$1/scripts/prepare"; shift; exec "$@"', "bash", environment.ROOT]
    package = ["--package-path", environment.ROOT, "-c", "release"]
    if subprocess.run([*prepared, "swift", "build", *package, "--product", "attention"], stdout=sys.stderr).returncode != 0:
        raise SystemExit("the command cannot be built")
    folder = subprocess.run(["swift", "build", *package, "--show-bin-path"], check=True, capture_output=True, text=True).stdout
    return os.path.join(folder.strip(), "attention")


def busy_cores(seconds=1):
    """How many cores were at work during a pause of ours."""
    def spent():
        # user nice system idle iowait irq softirq steal, in ticks, of all cores
        ticks = [int(field) for field in open("/proc/stat").readline().split()[1:9]]
        return sum(ticks) - ticks[3] - ticks[4]
    before = spent()
    time.sleep(seconds)
    return (spent() - before) / os.sysconf("SC_CLK_TCK") / seconds


def warn_of_load():
    # With one other busy process, OpenMP's barriers made PyTorch's small cases 100 times slower: such figures are worthless.
    load = busy_cores()
    if load > 0.1:
        print(f"warning: {load:.2f} cores are busy with something else; the figures will not hold", file=sys.stderr)
    return load
