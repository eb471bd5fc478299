"""Has a program serve an editor that types in a Dockerfile.

usage: server.py PROGRAM FOLDER
"""

import json
import subprocess
import sys
import threading
from pathlib import Path

LETTERS = 50
# Far longer than any of it takes.
SECONDS = 60


class Client:
    def __init__(self, program: str):
        self.server = subprocess.Popen([program, "server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.alarm = threading.Timer(SECONDS, self.server.kill)
        self.alarm.start()

    def send(self, method: str, params: dict | None = None, **more):
        body = json.dumps({"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params}), **more}).encode()
        self.server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.server.stdin.flush()

    def receive(self) -> dict:
        length = 0
        while line := self.server.stdout.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if not length:
            sys.exit("the server has ended")
        return json.loads(self.server.stdout.read(length))

    def wait(self, is_meant) -> dict:
        while not is_meant(message := self.receive()):
            pass
        return message

    def report(self, version: int) -> list[str]:
        """The rules of the findings of a version."""
        is_report = lambda it: it.get("method") == "textDocument/publishDiagnostics" and it["params"].get("version") == version
        return [it["code"] for it in self.wait(is_report)["params"]["diagnostics"]]

    def end(self):
        self.send("shutdown", id=2)
        self.wait(lambda it: it.get("id") == 2)
        self.send("exit")
        status = self.server.wait()
        self.alarm.cancel()
        if status != 0:
            sys.exit(f"the server ended with status {status}")


def main(program: str, folder: str):
    path = Path(folder).resolve() / "Dockerfile"
    document = {"uri": path.as_uri(), "languageId": "dockerfile", "version": 0, "text": path.read_text()}
    client = Client(program)
    client.send("initialize", {"processId": None, "rootUri": path.parent.as_uri(), "capabilities": {}}, id=1)
    client.wait(lambda it: it.get("id") == 1)
    client.send("initialized", {})
    client.send("textDocument/didOpen", {"textDocument": document})
    found = client.report(0)
    if "copy-before-install" not in found:
        sys.exit(f"the server found only {found}")
    end = {"line": document["text"].count("\n"), "character": 0}
    for version in range(1, LETTERS + 1):
        change = {"range": {"start": end, "end": end}, "text": "#"}
        client.send("textDocument/didChange", {"textDocument": {"uri": document["uri"], "version": version}, "contentChanges": [change]})
        if client.report(version) != found:
            sys.exit("a comment at the end changes what is found")
    client.end()


main(*sys.argv[1:])
