"""How it starts, how it helps, and how it says that something is wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest

from chaosrun import __version__
from chaosrun.cli.root import SECTIONS
from chaosrun.cli.root import chaosrun as root
from tests.cli.conftest import Chaosrun

COMMANDS = [name for section in SECTIONS.values() for name in section]


def modules_after(chaosrun: Chaosrun, *words: str) -> set[str]:
    """The modules that were imported when that command line ended."""
    code = (
        "import sys; from chaosrun.cli import main; main(sys.argv[1:]);"
        "print('\\n' + ' '.join(sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=chaosrun.place, env=chaosrun.env, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    return set(ended.stdout.splitlines()[-1].split())


def test_version_answers_before_anything_is_imported(chaosrun: Chaosrun) -> None:
    modules = modules_after(chaosrun, "--version")
    assert not modules & {"click", "msgspec", "typing", "inspect", "re", "rich"}
    assert chaosrun("--version").stdout == f"chaosrun {__version__}\n"


def test_help_imports_no_command_and_nothing_heavy(chaosrun: Chaosrun) -> None:
    modules = modules_after(chaosrun, "--help")
    assert not modules & {"msgspec", "rich", "yaml", "sqlite3", "chaosrun.cli.run"}


def test_validate_imports_nothing_that_only_a_run_needs(chaosrun: Chaosrun) -> None:
    file = chaosrun.experiment()
    modules = modules_after(chaosrun, "validate", file)
    assert not modules & {"rich", "sqlite3", "jinja2", "requests", "jsonschema", "chaosrun.engine"}


def test_a_piped_run_imports_neither_rich_nor_a_template_engine(chaosrun: Chaosrun) -> None:
    file = chaosrun.experiment(hold="0s")
    modules = modules_after(chaosrun, "run", file)
    assert not modules & {"rich", "jinja2", "requests", "jsonschema", "importlib.metadata"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from chaosrun.cli import main

    assert main([name, "--help"]) == 0
    said = capsys.readouterr().out
    assert "Examples:" in said
    assert f"chaosrun {name}" in said.partition("Examples:")[2]
    assert not any(len(line) > 100 for line in said.splitlines())


def test_help_names_every_command_with_what_it_does(chaosrun: Chaosrun) -> None:
    said = chaosrun("--help").stdout
    for section, commands in SECTIONS.items():
        assert f"{section}:" in said
        for name, text in commands.items():
            assert f"  {name:12}  {text}" in said
    assert chaosrun().stdout == said


def test_every_command_can_be_loaded() -> None:
    import click

    context = click.Context(root)
    for name in COMMANDS:
        found = root.get_command(context, name)
        assert found is not None
        assert found.name == name


def test_a_mistyped_command_is_guessed(chaosrun: Chaosrun) -> None:
    ended = chaosrun("statsu")
    assert ended.returncode == 2
    assert "Did you mean `status`?" in ended.stderr
    assert ended.stdout == ""


def test_a_wrong_option_is_a_usage_error_and_says_where_help_is(chaosrun: Chaosrun) -> None:
    ended = chaosrun("run", "x.yaml", "--sedd", "3")
    assert ended.returncode == 2
    assert "chaosrun: error:" in ended.stderr
    assert "--seed" in ended.stderr
    assert "`chaosrun run --help`" in ended.stderr


def test_nobody_sees_a_traceback_who_did_not_ask(chaosrun: Chaosrun) -> None:
    quiet = chaosrun("runs", CHAOSRUN_JOURNAL="mysql://nowhere")
    assert quiet.returncode == 2
    assert "Traceback" not in quiet.stderr
    assert "hint:" in quiet.stderr
    assert "Traceback" in chaosrun("runs", "--debug", CHAOSRUN_JOURNAL="mysql://nowhere").stderr
    assert "Traceback" in chaosrun("runs", CHAOSRUN_JOURNAL="x", CHAOSRUN_DEBUG="1").stderr


def test_a_bug_is_an_error_with_exit_code_6(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from chaosrun.cli import main

    monkeypatch.setattr("platform.python_version", lambda: 1 / 0)
    assert main(["version"]) == 6
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_reader_that_has_enough_is_no_error(chaosrun: Chaosrun) -> None:
    process = chaosrun.start("describe", "http", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(20) == 141
    assert process.stderr.read() == ""


def test_version_lists_what_it_builds_on(chaosrun: Chaosrun) -> None:
    said = chaosrun.json("version")
    assert said["chaosrun"] == __version__
    assert said["msgspec"] != "not installed"
    assert "python" in chaosrun("version").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(chaosrun: Chaosrun, shell: str) -> None:
    assert "_CHAOSRUN_COMPLETE" in chaosrun("completion", shell).stdout


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("chaosrun de", "describe"),
        ("chaosrun describe host.tcp", "host.tcp-proxy"),
        ("chaosrun show la", "last"),
        ("chaosrun run --ev", "--events"),
        ("chaosrun halt o", "off"),
    ],
)
def test_the_shell_completes_commands_faults_runs_and_options(
    chaosrun: Chaosrun, line: str, wanted: str
) -> None:
    ended = chaosrun(
        _CHAOSRUN_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(line.split()) - 1)
    )
    assert wanted in ended.stdout
    assert ended.stderr == ""


def test_run_ids_are_completed_from_the_journal(chaosrun: Chaosrun) -> None:
    chaosrun("run", chaosrun.experiment(hold="0s"), "-q")
    run = chaosrun.json("runs")[0]["run"]
    line = f"chaosrun show {run[:6]}"
    ended = chaosrun(_CHAOSRUN_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD="2")
    assert run in ended.stdout


def test_output_that_cannot_be_written_is_an_error(chaosrun: Chaosrun) -> None:
    with open("/dev/full", "w") as full:
        process = chaosrun.start("version", stdout=full, stderr=subprocess.PIPE)
        assert process.wait(20) == 6
    assert process.stderr is not None
    assert "No space left on device" in process.stderr.read()
