"""The commands and links on all pages of the project are right; commands are parsed, and none is run."""

import itertools
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

from pipeline import cli

ROOT = Path(__file__).parents[1]
FOLDERS = ("pipeline", "components", "serving", "schema", "tests")
PAGES = [
    "README.md",
    *sorted(str(p.relative_to(ROOT)) for f in FOLDERS for p in (ROOT / f).rglob("*.md")),
]
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)[^)]*\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
MENTION = re.compile(r"`((?:deepfm|make) [^`\n]*)`")
DEEPFM = typer.main.get_command(cli.app)


def commands(text):
    """The commands in a page's blocks of shell, each as its words."""
    found = []
    for language, block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if language in ("", "sh") and re.search(r"\b(?:deepfm|make) ", line):
                words = shlex.shlex(line, posix=True, punctuation_chars=True)
                words.whitespace_split = True
                parts = itertools.groupby(words, lambda word: bool(re.fullmatch(r"[();<>|&]+", word)))
                found += [list(part) for joint, part in parts if not joint]
    return [words[1:] if words[0] == "do" else words for words in found]


def mentions(text):
    """The commands within a page's sentences, each as its words; what they need may be left out."""
    return [shlex.split(mention) for mention in MENTION.findall(BLOCK.sub("", text))]


def of(program, found):
    """The commands of a program, without its name."""
    return [words[1:] for words in found if words[0] == program]


def parse(words):
    """Parse a command of `deepfm` as its program does, which raises what it would tell a person."""
    name, command, rest = DEEPFM.resolve_command(typer.Context(DEEPFM), list(words))
    command.make_context(name, rest, parent=typer.Context(DEEPFM))


def unknown(words):
    """Return what a mention of `deepfm` names that there is not."""
    command = DEEPFM.commands.get(words[0])
    if command is None:
        return [words[0]]
    if command.context_settings.get("ignore_unknown_options"):  # it takes those of TensorFlow Serving
        return []
    known = {option for parameter in command.params for option in parameter.opts}
    return [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]


def unused(words):
    """Return the variables of a call of `make` that its targets do not read.

    Raises:
      subprocess.CalledProcessError: there is no such target.
    """
    variables = [word.partition("=")[0] for word in words if "=" in word]
    targets = [word for word in words if "=" not in word]
    without = made(*targets)
    return [name for name in variables if made(*targets, f"{name}=given") == without]


def made(*arguments):
    """Return what `make` would do."""
    return subprocess.run(
        ["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("page", PAGES)
def test_each_command_of_a_page_is_one_that_there_is(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for words in of("deepfm", commands(text)):
        parse(words)
    for words in of("deepfm", mentions(text)):
        assert unknown(words) == [], words
    for words in of("make", [*commands(text), *mentions(text)]):
        assert unused(words) == [], words


@pytest.mark.parametrize("page", PAGES)
def test_each_link_of_a_page_leads_to_a_file(page):
    links = LINK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_links_are_found():
    text = "[a](b/c.md#d), ![e f](g.svg), [h](https://i.org/j), [k](#l)"
    assert LINK.findall(text) == ["b/c.md", "g.svg"]


def test_the_pages_have_commands():
    found = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
    sampled, quality = (
        found[f"{folder}/README.md"] for folder in ("components/gibbs", "tests/benchmarks/quality")
    )
    assert "tune" in {words[0] for words in of("deepfm", commands(sampled))}
    assert {"run", "bench-quality"} <= {words[0] for words in of("make", commands(quality))}
    assert "models" in {words[0] for words in of("deepfm", mentions(found["serving/README.md"]))}


def test_a_line_of_shell_is_taken_apart():
    shell = "```sh\ndeepfm a 'b c' \\\n  --d | less && make e & # deepfm f\n```\n"
    text = f"{shell}`deepfm g`\n```python\nmake h\n```\n"
    assert commands(text) == [["deepfm", "a", "b c", "--d"], ["less"], ["make", "e"]]
    assert mentions(text) == [["deepfm", "g"]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tuen", "No such command 'tuen'"),
        ("tune --trails 2", "No such option: --trails"),
        ("tune --trials two", "should be a valid integer"),
        ("tune --split place", "'place' is not one of"),
        ("canary --percent 5", "Missing parameter: version"),
        ("tune small", "Got unexpected extra argument(s) (small)"),
    ],
)
def test_a_slip_in_a_block_is_found(line, message):
    with pytest.raises(Exception, match=re.escape(message)):
        parse(line.split())


def test_a_slip_in_a_sentence_is_found():
    assert unknown(["tuen", "--trials"]) == ["tuen"]
    assert unknown(["tune", "--trails=2", "--split"]) == ["--trails=2"]


def test_a_slip_in_a_call_of_make_is_found():
    with pytest.raises(subprocess.CalledProcessError):
        unused(["bench-qualty"])
    assert unused(["bench-quality", "DATA=a", "MODEL=b", "SEEDS=0 1"]) == ["MODEL"]
