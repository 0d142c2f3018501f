"""Manual pages from the program's own help: one of the program, one of each command, one of each of its subcommands."""

import re
import subprocess


def help_of(program, *command):
    """The help of a command, as `--help` prints it."""
    ended = subprocess.run([program, *command, "--help"], capture_output=True, text=True, check=True)
    return ended.stdout


def commands_below(text):
    """The commands that a help lists, each with its description."""
    listed = text.partition("\nCommands:\n")[2].partition("\n\n")[0]
    return [(name, about) for name, about in re.findall(r"^  (\S+)  +(.*)$", listed, re.MULTILINE) if name != "help"]


def escaped(text):
    """As roff reads it: no escape sequence, no request at the begin of a line, hyphens that can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def section(title, body):
    """A section of a help. Lines of two columns are terms with their meaning; of the rest each line stays as it is."""
    lines = [f".SH {title.upper()}"]
    for line in body.strip("\n").splitlines():
        term, gap, meaning = re.fullmatch(r" {2,6}(\S.*?)( {2,})(\S.*)", line).groups() if is_term(line) else (line, "", "")
        lines += [".TP", f"\\fB{escaped(term)}\\fR", escaped(meaning)] if gap else [escaped(line.strip()), ".br"]
    return lines


def is_term(line):
    return re.fullmatch(r" {2,6}\S.*? {2,}\S.*", line) is not None


def page(program, command, date, version):
    """A manual page in roff."""
    text = help_of(program, *command)
    name = "-".join(["tintype", *command])
    about, _, rest = text.partition("\n\n")
    about = about.strip().splitlines()
    usage = re.search(r"^Usage: (.*)$", rest, re.MULTILINE)[1]
    lines = [f'.TH "{name.upper()}" 1 "{date}" "tintype {version}" "Tintype"', ".SH NAME", f"{escaped(name)} \\- {escaped(about[0])}"]
    lines += [".SH SYNOPSIS", f"\\fB{escaped(usage)}\\fR"]
    if about[1:]:
        lines += [".SH DESCRIPTION", *map(escaped, about[1:])]
    # What has a heading is a section, what has none belongs to the notes.
    notes = []
    for part in rest.split("\n\n"):
        heading = re.match(r"(?:Usage: .*\n*)?([A-Z]\w*):\n(.*)", part, re.DOTALL)
        if heading:
            lines += section(heading[1], heading[2])
        elif not part.startswith("Usage:"):
            notes.append(part)
    if notes:
        lines.append(".SH NOTES")
        for note in notes:
            for line in note.splitlines():
                lines += [escaped(line.strip()), ".br"]
            lines.append(".PP")
    below = commands_below(text)
    others = [f"\\fB{escaped('-'.join([name, other]))}\\fR(1)" for other, _ in below] or ["\\fBtintype\\fR(1)"]
    lines += [".SH SEE ALSO", ",\n".join(others)]
    return name, "\n".join(lines) + "\n", [(*command, other) for other, _ in below]


def pages(program, date, version):
    """All manual pages: file name and text."""
    todo = [()]
    while todo:
        name, text, below = page(program, todo.pop(0), date, version)
        todo += below
        yield f"{name}.1", text
