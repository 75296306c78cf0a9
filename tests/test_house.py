"""The house rules that no tool checks by itself: layers, one parser, cheap starts, help for everyone."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import adapter
from adapter.cli.app import COMMANDS, app

REPO = Path(adapter.__file__).parents[1]
PACKAGE = REPO / "adapter"
SOURCES = sorted(PACKAGE.rglob("*.py"))
PARSERS = {
    "fromstring",
    "parse",
    "XMLParser",
    "XML",
    "HTML",
    "iterparse",
    "XMLPullParser",
    "fromstringlist",
    "HTMLParser",
}
ASYNC = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
NOT_FOR_A_VERSION = {
    "lxml", "requests", "urllib3", "xmlschema", "apscheduler", "signxml", "sqlalchemy", "alembic", "joserfc",
    "cryptography", "rich", "pybase64", "sqlite3", "logging", "asyncio", "starlette", "uvicorn", "adapter.config",
    "adapter.model",
}  # fmt: skip
NOT_FOR_A_CHECK = {
    "requests", "urllib3", "xmlschema", "apscheduler", "signxml", "sqlalchemy", "alembic", "joserfc", "cryptography",
    "rich", "sqlite3", "http.client", "adapter.store", "adapter.transport", "adapter.security", "adapter.assembly",
    "adapter.simulator", "adapter.web", "starlette", "uvicorn",
}  # fmt: skip


def module(file: Path) -> str:
    return str(file.relative_to(REPO))


Nodes = list[tuple[str, list[ast.AST]]]


@pytest.fixture(scope="module")
def nodes() -> Nodes:
    """Every node of every file's syntax tree."""
    return [(module(file), list(ast.walk(ast.parse(file.read_text("utf-8"))))) for file in SOURCES]


def test_no_module_says_from_adapter_import(nodes: Nodes) -> None:
    for name, there in nodes:
        for node in there:
            from_root = isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "adapter"
            assert not from_root, f"{name}:{getattr(node, 'lineno', 0)} imports from the package root"


def test_only_xmlio_and_the_schema_loader_call_lxmls_parsers(nodes: Nodes) -> None:
    allowed = {"adapter/xmlio.py", "adapter/validation/schema.py"}
    for name, there in nodes:
        for node in there:
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = node.func.value
            named = isinstance(owner, ast.Name) and owner.id in ("etree", "objectify", "ElementTree", "ET")
            assert not (named and node.func.attr in PARSERS) or name in allowed, f"{name}:{node.lineno}"


def test_no_module_brings_another_xml_parser() -> None:
    others = re.compile(
        r"^\s*(?:import|from)\s+(?:xml\.|bs4|defusedxml|xmltodict|html5lib|lxml\.html|lxml\.objectify)", re.M
    )
    assert [module(file) for file in SOURCES if others.search(file.read_text("utf-8"))] == []


def test_nothing_is_left_to_do() -> None:
    marks = re.compile(r"\b(?:TODO|FIXME|XXX|NotImplementedError)\b")
    assert [module(file) for file in SOURCES if marks.search(file.read_text("utf-8"))] == []


def test_broad_except_clauses_are_the_two_that_keep_a_loop_alive(nodes: Nodes) -> None:
    found = []
    for name, there in nodes:
        for node in there:
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or (
                    isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
                )
                if broad:
                    found.append(f"{name}:{node.lineno}")
    assert len(found) <= 2, found
    assert all(place.startswith(("adapter/worker.py", "adapter/flow/")) for place in found), found


def test_async_code_lives_in_the_receiving_endpoint_alone(nodes: Nodes) -> None:
    found = [name for name, there in nodes if any(isinstance(node, ASYNC) for node in there)]
    ours = [name for name in found if not name.startswith("adapter/simulator/")]  # whose mail server is a library's
    assert sorted(ours) == ["adapter/web/line.py", "adapter/web/receive.py"]


def test_files_and_functions_stay_short(nodes: Nodes) -> None:
    long_files = [module(file) for file in SOURCES if len(file.read_text("utf-8").splitlines()) > 400]
    assert long_files == []
    long_functions = []
    for name, there in nodes:
        for node in there:
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                words = ast.get_docstring(node, clean=False)
                if lines - (len(words.splitlines()) + 1 if words else 0) > 50:
                    long_functions.append(f"{name}:{node.lineno} {node.name}")
    assert long_functions == []


def test_no_package_registry_is_named_in_any_file_that_ships() -> None:
    hosts = re.compile(r"pypi\.org|pythonhosted\.org|npmjs|proxy\.golang|crates\.io", re.I)
    files = [*SOURCES, REPO / "README.md", REPO / "Makefile", REPO / "pyproject.toml", REPO / ".ci" / "run"]
    files += [*REPO.glob("requirements*.txt"), *(REPO / "config").rglob("*.*")]
    assert [str(file) for file in files if file.is_file() and hosts.search(file.read_text("utf-8", "ignore"))] == []


def test_the_package_names_no_folder_outside_the_project() -> None:
    assert [module(file) for file in SOURCES if "../shared" in file.read_text("utf-8")] == []


def test_the_layers_hold() -> None:
    tool = Path(sys.executable).parent / "lint-imports"
    if not tool.exists():
        pytest.skip("import-linter is not installed here")
    done = subprocess.run([tool, "--no-cache"], cwd=REPO, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-3000:]


def loaded_after(*args: str) -> set[str]:
    """Names in sys.modules after one command."""
    code = (
        "import sys, json\nfrom adapter.cli.app import run\n"
        f"code = run({list(args)!r})\nsys.stdout.flush()\n"
        "print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True, timeout=60
    )
    exit_code, names = json.loads(done.stderr.splitlines()[-1])
    assert exit_code == 0, done.stdout + done.stderr
    return set(names)


def heavy(loaded: set[str], banned: set[str]) -> set[str]:
    return {name for name in loaded if any(name == root or name.startswith(root + ".") for root in banned)}


@pytest.mark.parametrize("args", [["--version"], ["--help"]])
def test_asking_for_the_version_or_help_loads_nothing_heavy(args: list[str]) -> None:
    assert heavy(loaded_after(*args), NOT_FOR_A_VERSION) == set()


def test_checking_a_small_valid_file_loads_only_what_a_check_needs() -> None:
    sample = REPO / "samples" / "good" / "referral-frisklivssentral.xml"
    assert heavy(loaded_after("check", "--json", str(sample)), NOT_FOR_A_CHECK) == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_a_newcomer_can_act_on(name: str) -> None:
    import click

    context = click.Context(app, info_name="adapter")
    command = app.get_command(context, name)
    assert command is not None
    assert command.help, name
    assert f"adapter {name}" in command.help.replace("--config /etc/adapter/adapter.toml ", ""), "an example is missing"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts} has no help"


def test_the_public_names_are_these_and_each_one_loads() -> None:
    assert sorted(adapter.__all__) == [
        "Adapter", "AdapterError", "Attachment", "Finding", "OutgoingMessage", "Patient", "ReceiverChoice", "Referral",
        "RefusedError", "Settings", "SignerClaim", "load_settings", "open_adapter", "read", "read_settings",
    ]  # fmt: skip
    for name in adapter.__all__:
        assert getattr(adapter, name).__module__.startswith("adapter."), name
    assert set(adapter.__all__) < set(dir(adapter))
    with pytest.raises(AttributeError):
        adapter.no_such_name  # noqa: B018


def test_importing_the_package_loads_nothing_else() -> None:
    code = "import sys, json, adapter; print(json.dumps([n for n in sys.modules if n.startswith('adapter')]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["adapter"]


def test_the_version_is_the_projects() -> None:
    import tomllib

    project = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]
    assert adapter.__version__ == project["version"]
    assert f"## {adapter.__version__}" in (REPO / "CHANGELOG.md").read_text("utf-8")
