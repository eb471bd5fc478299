"""Compares what we read of Dockerfiles with BuildKit's own parser (the PyPI package `dockerfile`).

    compare.py DUMP [--cases N] [--seed N] [PATH …]

DUMP is the example `dump`. Compared are all files below the PATHs, and N generated ones: each as it is, with CRLF, without
its last line ending, and with a byte-order mark. For every instruction: keyword, first and last line, flags, arguments, JSON
form, and heredocs. A text that BuildKit rejects must still give a tree without errors. Fails on any difference.
"""

import argparse
import itertools
import json
import os
import random
import re
import subprocess
import sys

import dockerfile

BLANKS = re.compile(r"[\t\v\f\r ]+")
# What Go's `unicode.IsSpace` says; `str.strip` would take a few control characters more.
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


# ----------------------------------------------------------------------------------------------------------------------
# Both sides in one form


def theirs(text):
    """The instructions as BuildKit has them, or the message of its refusal."""
    try:
        commands = dockerfile.parse_string(text)
    except (dockerfile.GoParseError, UnicodeDecodeError) as error:
        # The latter: BuildKit has cut a character in two (see `known_oddity`).
        return str(error)
    return [
        {
            "keyword": (command.cmd or "").upper(),
            "trigger": (command.sub_cmd or "").upper(),
            "lines": [command.start_line, command.end_line],
            "flags": [lower_name(it) for it in command.flags],
            "json": command.json,
            "value": list(command.value),
            "heredocs": [[it.name, it.content] for it in command.heredocs],
        }
        for command in commands
    ]


def ours(instructions):
    return [
        {
            "keyword": it["keyword"],
            "trigger": it["trigger"]["keyword"] if it["trigger"] else "",
            "lines": [it["start"], it["end"]],
            # The package gives the arguments of the trigger, but not its flags; and no heredocs of ONBUILD, only their lines.
            "flags": flags(it),
            "json": (it["trigger"] or it)["json"] is not None,
            "value": value({**(it["trigger"] or it), "is_trigger": bool(it["trigger"])}),
            "heredocs": [[doc["name"], doc["content"]] for doc in it["heredocs"] if not it["trigger"]],
        }
        for it in instructions
    ]


def flags(instruction):
    return ["--" + name + ("" if value is None else "=" + value) for name, value in instruction["values"]]


def lower_name(flag):
    name, equals, value = flag.partition("=")
    return name.lower() + equals + value


def value(it):
    """Arguments in the form of BuildKit's parser."""
    keyword, arguments = it["keyword"], it["arguments"]
    if it["is_trigger"] and keyword == "ONBUILD" and arguments:
        return [""]
    if keyword == "HEALTHCHECK" and arguments:
        kind, _, rest = partition(arguments)
        return [kind] + (it["json"] if it["json"] is not None else [rest] if rest else [])
    if it["json"] is not None:
        return it["json"]
    if not arguments:
        return [""] if keyword not in KNOWN else []
    if keyword in ("ENV", "LABEL"):
        # Our pairs have no quotes in their names.
        words = it["words"]
        return [part for word in words for part in word.split("=", 1)] if "=" in words[0] else sum(it["pairs"], [])
    if keyword in ("ADD", "COPY", "EXPOSE", "FROM", "VOLUME", "ARG"):
        return it["words"]
    return [arguments] if keyword in KNOWN else [""]


def partition(text):
    found = re.search("[" + SPACES + "]+", text)
    return (text[: found.start()], found.group(), text[found.end() :]) if found else (text, "", "")


KNOWN = set("ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR".split())


# ----------------------------------------------------------------------------------------------------------------------
# Texts


def variants(text):
    yield "as it is", text
    yield "CRLF", re.sub("\r?\n", "\r\n", text)
    yield "no final newline", text.rstrip("\r\n")
    yield "byte-order mark", "\ufeff" + text


def files(paths):
    for path in paths:
        for root, folders, names in os.walk(path) if os.path.isdir(path) else [(os.path.dirname(path), [], [os.path.basename(path)])]:
            folders.sort()
            for name in sorted(names):
                full = os.path.join(root, name)
                with open(full, "rb") as file:
                    text = file.read().decode("utf-8", "replace")
                yield full, text


class Generator:
    """Makes Dockerfiles out of what is hard to read."""

    WORDS = r"""
        a b=c foo/bar . / -x -- --flag $A ${A} ${A:-b} ${A:+"b c"} ${A#x} ${A/b/c} ${#A} ${A $$ 'a b' "a b" "a'b" 'a"b' don't "
        ' \" \' \\ \a C:\x "a\"b" '\' `x` `" @ # #x a#b [ ] ["a"] ["a", "b"] ['a'] [1] [] {} < > << <<< <<EOF <<-EOF <<"EOF" <<'E F'
        << 3<<EOF <<EOF<x x<<EOF "<<EOF" <<E"O"F <<E\ F <<$A <<${A} <<é é à <<EOF; <<-"a" && | ; = == a=b=c "a=b" A='b c' \u00a0 ~
    """.split()
    KEYWORDS = "FROM RUN RUN RUN COPY COPY ADD ENV ARG LABEL CMD ENTRYPOINT WORKDIR USER VOLUME EXPOSE SHELL HEALTHCHECK STOPSIGNAL ONBUILD".split()
    FLAGS = ["--from=a", "--link", "--mount=type=cache,target=/x", '--mount="type=cache,target=/a b"', "--x='a b'", "--x=a\\ b", "--platform=$A", "--", "--x"]
    BLANK = [" ", " ", " ", " ", "  ", "\t", " \f", "\v ", " \r "]
    BREAKS = ["\\\n", "\\\n", "\\ \n", "\\\t \n", "\\\n\n", "\\\n# c\n", "\\\n  # c\n \n", "\\\n  ", "`\n", "\\\\\n", "\\\\\\\n", "\\\r\n", "\\\n\\\n", "\\"]
    NAMES = ["EOF", "EOF", "EOF", "E F", "a", "b=c", "<<EOF", "\tEOF", "EOF ", " EOF", "EOF\r", "$A", "${A}", "é", "-EOF"]

    def __init__(self, seed):
        self.random = random.Random(seed)

    def one(self, choices):
        return self.random.choice(choices)

    def chance(self, share):
        return self.random.random() < share

    def arguments(self):
        parts = []
        for _ in range(self.random.randrange(5)):
            parts.append(self.one(self.WORDS))
            parts.append(self.one(self.BREAKS) if self.chance(0.2) else "" if self.chance(0.05) else self.one(self.BLANK))
        return "".join(parts)

    def instruction(self):
        keyword = self.one(self.KEYWORDS)
        if keyword == "ONBUILD":
            keyword += self.one(self.BLANK) + self.one(self.KEYWORDS)
        if self.chance(0.1):
            keyword = keyword.lower()
        if self.chance(0.03):
            at = self.random.randrange(len(keyword))
            keyword = keyword[:at] + self.one(self.BREAKS) + keyword[at:]
        line = ("" if self.chance(0.9) else self.one(self.BLANK + ["\\\n"])) + keyword
        while self.chance(0.2):
            line += self.one(self.BLANK) + self.one(self.FLAGS)
        line += (self.one(self.BREAKS) if self.chance(0.1) else self.one(self.BLANK)) + self.arguments()
        if self.chance(0.1):
            line += self.one(self.BLANK)
        return line + ("\r\n" if self.chance(0.05) else "\n") + (self.bodies(line) if "<<" in line else "")

    def bodies(self, line):
        """Lines, and most of the names that would end the heredocs of `line`."""
        bodies = ""
        for name in re.findall(r"<<-?\s*([^\s<]+)", line):
            bodies += "".join(self.one(self.NAMES + ["line", "", "# c", "RUN a", "\\"]) + "\n" for _ in range(self.random.randrange(3)))
            bodies += re.sub(r"[\"'\\]", "", name) + "\n" if self.chance(0.9) else ""
        return bodies

    def text(self):
        parts = [self.one(["", "", "", "# syntax=docker/dockerfile:1\n", "# escape=`\n", "#escape=\\\n", " # check=skip=all\n", "# c\n", "\n", "# escape=\n"])]
        if self.chance(0.1):
            parts.append(self.one(["# escape=`\n", "# Syntax = a b \n", "\n# escape=`\n", "# c\n# escape=`\n", "#!x\n"]))
        for _ in range(self.random.randrange(1, 6)):
            parts.append(self.instruction())
            if self.chance(0.2):
                parts.append(self.one(["\n", "# c\n", "  # c\n", " \t\n", "#\n", "\f\n", "\r\n"]))
        return "".join(parts)


# ----------------------------------------------------------------------------------------------------------------------


def known_oddity(text, found, expected):
    """Why the first difference is an oddity of BuildKit or of the package, which we do not follow; `None` if it is not."""
    mine, other = next((mine, other) for mine, other in itertools.zip_longest(found, expected) if mine != other)
    places = [it["lines"] for it in (mine, other) if it]
    lines = text.split("\n")[min(it[0] for it in places) - 1 : max(it[1] for it in places)]
    line = logical_line(lines, "`" if is_backtick_file(text) else "\\\\")
    for pattern, reason in ODDITIES:
        if re.search(pattern, line, re.IGNORECASE):
            return reason
    if "\0" in text:
        return "NUL, at which the package stops reading"
    if re.match(r"\ufeff?[^\n]*#\s*check\s*=", text) and is_backtick_file(text):
        return "an escape directive behind a check directive, which the package does not know"
    # This release of the package reads flags with a backslash in every file; BuildKit takes the file's escape character.
    if is_backtick_file(text) and re.search(r"\s--[^\n]*[\\`]", line):
        return "quotes or escapes in a flag, and an escape directive"
    return None


def logical_line(lines, escape):
    kept = [line for n, line in enumerate(lines) if n == 0 or not re.match(r"\s*(#|$)", line)]
    joined = [re.sub(escape + r"[ \t]*\r*$", "", line) for line in kept]
    # A line that was not changed is the last one; what follows it is heredocs.
    last = next((n for n, line in enumerate(kept) if line == joined[n]), len(kept))
    return "".join(joined[: last + 1])


ODDITIES = [
    # Flags, and the first word of HEALTHCHECK, are read byte by byte there: characters beyond ASCII are garbled, and the second
    # byte of some is taken for white space.
    (r"\s--.*[^\x00-\x7f]", "character beyond ASCII in a flag"),
    (r"^\W*(ONBUILD\W*)?HEALTHCHECK\s.*[^\x00-\x7f]", "character beyond ASCII in HEALTHCHECK"),
    # After such an expansion has been read, its text is split anew, so that a heredoc may begin inside it.
    (r"\$\{\w+(:?[-+?]|[#%/])[^}]*\s\d*<<", "heredoc inside an expansion"),
    # This release of the package takes a JSON array for one whatever follows it; BuildKit no longer does.
    (r"\s\[\s*(\"([^\"\\]|\\.)*\"\s*(,\s*|(?=\])))*\]\s*\S", "text behind a JSON array"),
    # Nor does it know these yet: a line with such an expansion has no heredocs.
    (r"<<[ \t\r]", "white space in a heredoc marker"),
    (r"\$\{\w+[#%/].*<<|<<.*\$\{\w+[#%/]", "heredoc beside an expansion with a pattern"),
]


def is_backtick_file(text):
    return re.match(r"\ufeff?([ \t]*#\s*(syntax|check)\s*=[^\n]*\n)*[ \t]*#\s*escape\s*=\s*`", text, re.IGNORECASE) is not None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dump")
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=5, help="how many differences to print")
    parser.add_argument("paths", nargs="*")
    options = parser.parse_intermixed_args()

    generator = Generator(options.seed)
    texts = list(files(options.paths)) + [(f"generated {n}", generator.text()) for n in range(options.cases)]
    cases = [(f"{name} ({kind})", variant) for name, text in texts for kind, variant in variants(text)]
    output = subprocess.run([options.dump], input="".join(json.dumps(text) + "\n" for _, text in cases), capture_output=True, text=True, check=True)

    n_rejected = n_instructions = n_heredocs = 0
    oddities, differences = {}, []
    for (name, text), line in zip(cases, output.stdout.split("\n"), strict=False):
        result = json.loads(line)
        if result["error"]:
            differences.append((name, text, ["the tree has an error"], []))
        expected = theirs(text)
        if isinstance(expected, str):
            n_rejected += 1
            continue
        n_instructions += len(expected)
        n_heredocs += sum(len(it["heredocs"]) for it in expected)
        found = ours(result["instructions"])
        if found == expected:
            continue
        oddity = known_oddity(text, found, expected)
        if oddity:
            oddities[oddity] = oddities.get(oddity, 0) + 1
        else:
            differences.append((name, text, found, expected))

    print(f"{len(cases)} texts, {n_rejected} rejected by BuildKit; {n_instructions} instructions, {n_heredocs} heredocs; {len(differences)} differences")
    for oddity, count in sorted(oddities.items()):
        print(f"  {count} left out: {oddity}")
    for name, text, found, expected in differences[: options.show]:
        print(f"\n{name}\n  {text!r}")
        for mine, other in itertools.zip_longest(found, expected or []):
            if mine != other:
                print(f"  ours   {mine}\n  theirs {other}")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
