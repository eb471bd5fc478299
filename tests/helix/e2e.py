"""Works through the example project in Helix as a person would, and says what it sees on the screen.

Ends with status 1 at the first thing that is not as expected.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

# Seconds: long enough for a machine that is busy with something else; nothing waits for its own sake.
PATIENCE = 30

PROJECT = Path(os.environ["LAYERWISE_PROJECT"])
LANGUAGES = Path.home() / ".config/helix/languages.toml"
OUTPUT = Path(os.environ["LAYERWISE_OUTPUT"])
BINARY = Path(shutil.which("layerwise")).resolve()
WIDTH, HEIGHT = 150, 60

# What the file of the example is after all safe moves.
REORDERED = Path("tests/editors/expected/Dockerfile").read_text()

# What the messages of rules begin with.
INSTALL = "any change to `./app` runs `pip3 install"
PACKAGES = "any change to `./app` runs `apt-get install`"
BASE = "every new `ubuntu:latest` rebuilds"
VOLATILE = "runs `apt-get install` again, which does not use it"
NPM = "any change to the build context runs `npm ci`"
MODE = "without `mode=max`"

started = time.monotonic()


def say(text):
    print(f"{(time.monotonic() - started) * 1000:7.0f} ms  {text}", flush=True)


def tmux(*arguments):
    command = ["tmux", "-S", os.environ["LAYERWISE_SCREEN"], "-f", "/dev/null", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def screen():
    return tmux("capture-pane", "-p", "-t", "helix")


def keys(*names):
    """Presses keys by their names; see `text` for what is typed."""
    tmux("send-keys", "-t", "helix", *names)


def text(typed):
    tmux("send-keys", "-t", "helix", "-l", typed)


def until(what, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain: {what}\n{screen()}")
        time.sleep(0.02)
    if what is not None:
        say(what)


def seen(what, present, absent=()):
    def holds():
        shown = screen()
        return all(it in shown for it in present) and not any(it in shown for it in absent)

    until(what, holds)


def escape(what, gone):
    """Leaves a mode or a popup, once it is there. What is typed before it is left would be taken for a key with Alt."""
    until(None, lambda: gone in screen())
    keys("Escape")
    seen(what, [" NOR "], [gone])


def command(typed):
    text(f":{typed}")
    keys("Enter")


def picture(name):
    (OUTPUT / f"{name}.txt").write_text(screen())


def act(title, name=None):
    """Takes an action at the cursor from the menu, whose first row is chosen when it opens; `name` is that of a picture of it."""
    text(" a")
    seen(f"the menu has: {title}", [title])
    if name is not None:
        picture(name)
    titles = ["Install ", "Ignore ", "Reorder ", "Apply all "]
    rows = [it for it in screen().splitlines() if any(it.strip(" │┃").startswith(title) or f"  {title}" in it for title in titles)]
    at = next(index for index, row in enumerate(rows) if title in row)
    keys(*["Down"] * at, "Enter")


def replace(line, pattern, typed):
    """Types over the text in a line that a pattern finds. Helix was once seen to lose the key that asks for the pattern, and took
    the pattern for keys: each step waits for what the one before it shows."""
    command(str(line))
    keys("x", "s")
    asked = time.monotonic()

    def asks():
        nonlocal asked
        if time.monotonic() > asked + 2:
            say("Helix does not ask for a pattern; once more")
            keys("s")
            asked = time.monotonic()
        return "select:" in screen()

    until(None, asks)
    text(pattern)
    seen(None, [f"select:{pattern.rstrip()}"])
    keys("Enter")
    seen(None, [" NOR "], ["select:"])
    keys("c")
    seen(None, [" INS "])
    text(typed)
    escape(f"typed: {typed}", " INS ")


def place():
    """Where the first finding of the file begins and ends, as line and column."""

    def cursor(mode):
        until(None, lambda: f" {mode} " in screen())
        return re.search(rf" {mode} .*?(\d+:\d+)\s*$", screen(), re.MULTILINE)[1]

    keys("g", "g", "]", "d")
    end = cursor("NOR")
    # Typing goes before what is selected.
    keys("i")
    start = cursor("INS")
    keys("Escape")
    cursor("NOR")
    return start, end


def servers(language, environment):
    """The names of the servers that Helix has for a language."""
    command = ["hx", "--health", language]
    health = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **environment}).stdout
    listed = health.partition("Configured language servers:\n")[2].partition("Configured debug adapter")[0]
    return re.findall(r"([\w-]+): ", re.sub(r"\x1b\[[0-9;]*m", "", listed))


def health(language):
    """What Helix says of a language, without its colours."""
    told = subprocess.run(["hx", "--health", language], check=True, capture_output=True, text=True).stdout
    return re.sub(r"\x1b\[[0-9;]*m", "", told)


def coloured(word):
    """Whether a word stands on the screen, in a colour of its own."""
    return re.search(rf"\x1b\[[0-9;]*m{word}\x1b\[", tmux("capture-pane", "-p", "-e", "-t", "helix")) is not None


def start(path):
    tmux("new-session", "-d", "-s", "helix", "-x", str(WIDTH), "-y", str(HEIGHT), "-c", str(PROJECT), f"hx {path}")
    tmux("set-option", "-g", "escape-time", "0")


def end():
    command("quit-all!")
    has_screen = ["tmux", "-S", os.environ["LAYERWISE_SCREEN"], "has-session"]
    until("Helix has ended", lambda: subprocess.run(has_screen, capture_output=True).returncode != 0)
    until("and with it the server", lambda: running() is None)


def running():
    """The process id of the server that works for this project."""
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "exe").samefile(BINARY) and (process / "cwd").resolve().is_relative_to(PROJECT.resolve()):
                return int(process.name)
        except OSError:
            continue
    return None


def saved(path, expected):
    command("write")
    until(f"{path} is saved as expected", lambda: (PROJECT / path).read_text() == expected)


def main():
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for language in ["dockerfile", "github-action", "docker-compose", "docker-bake"]:
        kept, now = servers(language, {"XDG_CONFIG_HOME": "/nonexistent"}), servers(language, {})
        assert now == [*kept, "layerwise"], f"{language} had {kept} and has {now}"
    say("four languages have the server, beside those that they had before")

    told = health("dockerfile")
    for part in ["Tree-sitter parser: ✓", "Highlight queries: ✓"]:
        assert part in told, told
    say("our grammar and our queries are those of Dockerfiles")

    start("Dockerfile")
    until("and show in colours", lambda: coloured("ENV") and coloured("CMD"))

    # Findings, and the reordering.
    seen("Dockerfile: findings", [PACKAGES, BASE])
    command("6")
    seen("both of the line at the cursor", [INSTALL, PACKAGES, BASE])
    picture("findings")
    text(" k")
    seen("a hover with the summaries of the rules", ["copy-before-install", "Dependencies are installed after the sources are copied"])
    picture("hover")
    escape("the hover is closed", "More about this rule")
    act("Reorder stage", "actions")
    seen("its findings are gone", [BASE], [INSTALL, PACKAGES])
    saved("Dockerfile", REORDERED)
    picture("reordered")

    # What an unsaved workflow passes shows in the Dockerfile above it.
    command("open web/Dockerfile")
    seen("web/Dockerfile: the finding of its workflow", [VOLATILE])
    command("hsplit .github/workflows/site.yml")
    command("29")
    seen("site.yml: findings", [MODE])
    replace(27, r"\$\{\{ github.sha \}\}", "1.4.0")
    seen("a fixed value is no finding, in neither file", [MODE], [VOLATILE])
    picture("across")
    keys("u")
    seen("undone, it is one again", [MODE, VOLATILE])

    # Characters of two UTF-16 units and four bytes, in the line and in a line above it.
    keys("C-w", "k")
    replace(2, "ARG ", "ARG ICON=🚀 ")
    keys("O")
    text("# 📦🧭 built from")
    escape("and a line above", " INS ")
    seen("the finding moves down", ["●   3  ARG ICON="])
    until("and is right behind an emoji", lambda: place() == ("3:12", "3:26"))
    keys("u", "u")

    # The names of rules, in a comment that suppresses.
    command("2")
    keys("O")
    text("# layerwise: ignore[")
    seen("the names of rules are completed, first those of what is found below", ["volatile-arg-before-run", "unused-arg"])
    picture("completion")
    escape("the list is closed", " INS ")
    keys("u")

    # A rule that is switched off while the server runs.
    command("open .layerwise.yaml")
    seen("a file that is not there yet", [".layerwise.yaml"])
    keys("i")
    text("rules: {copy-before-install: off}")
    seen("typing", ["copy-before-install: off}"])
    escape("typed: a configuration", " INS ")
    command("write")
    command("buffer-close")
    seen("its finding is gone, and another is not", [VOLATILE], [NPM])
    (PROJECT / ".layerwise.yaml").unlink()

    # Line ends of two characters.
    crlf = PROJECT / "web/other.Dockerfile"
    crlf.write_bytes("FROM alpine:3.20\r\nARG ICON=🚀 GIT_SHA\r\nRUN apk add git\r\nRUN echo $GIT_SHA\r\n".encode())
    command("open web/other.Dockerfile")
    seen("a finding where lines end in CRLF", ["runs `apk add` again, which does not use it"])
    command("2")
    act("Reorder stage")
    command("write")
    reordered = "FROM alpine:3.20\r\nRUN apk add git\r\nARG ICON=🚀 GIT_SHA\r\nRUN echo $GIT_SHA\r\n".encode()
    until("it is reordered, and they are kept", lambda: crlf.read_bytes() == reordered)
    command("buffer-close")

    # A server that is killed; Helix starts it again when told to.
    os.kill(running(), signal.SIGKILL)
    seen("the server is gone", [], [VOLATILE])
    command("lsp-restart layerwise")
    seen("and back", [VOLATILE])

    end()

    # A rule that is switched off, as the README says.
    with LANGUAGES.open("a") as languages:
        languages.write('\n[language-server.layerwise.config.layerwise]\nrules = { copy-before-install = "off" }\n')
    start("web/Dockerfile")
    seen("a rule is switched off, and another is not", [VOLATILE], [NPM])
    end()


try:
    main()
except AssertionError as problem:
    say(f"FAILED: {problem}")
    sys.exit(1)
say("all as expected")
