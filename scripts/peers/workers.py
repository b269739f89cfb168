"""The workers seen from the script: each runs only while it is asked something."""

import json
import os
import pathlib
import signal
import subprocess
import sys


class Workers:
    def __init__(self, names, threads, folder, keep_memory, module="peers.worker"):
        self.processes, self.versions = {}, {}
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
        try:
            for name in names:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", module, name, str(threads), folder,
                     *(["keep-memory"] if keep_memory else [])],
                    cwd=pathlib.Path(__file__).resolve().parent.parent, env=environment,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                self.versions[name] = self.answer(name)["version"]
        except BaseException:
            self.close()
            raise

    def answer(self, name):
        process = self.processes[name]
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"the worker of {name} ended with {process.wait()}")
        process.send_signal(signal.SIGSTOP)
        return json.loads(line)

    def ask(self, name, **request):
        process = self.processes[name]
        process.send_signal(signal.SIGCONT)
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return self.answer(name)

    def close(self):
        for process in self.processes.values():
            process.kill()
            process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
