"""The plan of the house holds: imports, one maker per form, one door per library, size, and what may lie at the top."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("fhir_server", "smart_auth", "consent_engine", "anchoring", "profiles")
TOP = {*ROOMS, "tests", "docs", ".ci", "pyproject.toml", "README.md", "Makefile", "LICENSE"}
MAKERS = {
    # from outside; and what our own pages ask for the person who looks at them
    "Received": {
        "fhir_server/rest/routes.py",
        "fhir_server/portal/asking.py",
        "fhir_server/portal/hooks.py",  # a hook, as the FHIR request that it stands for
    },
    "Asked": {"fhir_server/pipeline/ask.py"},
    "InScope": {"fhir_server/pipeline/authorise.py"},
    "Located": {"fhir_server/interactions/stages.py"},
    "Consented": {"fhir_server/pipeline/consent.py"},
    "Record": {"fhir_server/pipeline/gate.py"},
    "Opened": {"fhir_server/interactions/stages.py"},
    "Stream": {"fhir_server/pipeline/redact.py"},
    "Released": {"fhir_server/pipeline/redact.py"},
    "Recorded": {"fhir_server/pipeline/record.py"},
}
DOORS = {
    "fastapi": ("fhir_server/rest/", "fhir_server/portal/", "fhir_server/app.py"),
    "starlette": ("fhir_server/rest/", "fhir_server/portal/", "fhir_server/app.py"),
    "uvicorn": ("fhir_server/commands/serve.py",),
    "motor": ("fhir_server/store/mongodb/mongo.py",),
    # the drill of the demo alters a byte of a copy of the store
    "sqlite3": (
        "fhir_server/store/",
        "anchoring/chain/embedded.py",
        "fhir_server/commands/story/proofs.py",
    ),
    "cryptography": ("fhir_server/crypto/", "anchoring/log/signing.py", "smart_auth/tokens/jwt.py"),
    "pkcs11": ("fhir_server/crypto/providers/token.py",),
    "hvac": ("fhir_server/crypto/providers/transit.py",),
    "authlib": ("smart_auth/tokens/authlib_bridge/", "fhir_server/portal/outside_provider.py"),
    "joserfc": (
        "smart_auth/tokens/outside_tokens.py",
        "smart_auth/tokens/signed_proofs.py",
        "smart_auth/tokens/jwt.py",
    ),
    "jinja2": ("smart_auth/pages/rendering.py", "fhir_server/portal/documentation.py"),
    "argon2": ("smart_auth/people/passwords.py",),
    "webauthn": ("smart_auth/people/passkeys.py",),
    "pyotp": ("smart_auth/people/one_time_codes.py",),
    "segno": ("smart_auth/people/qr_code.py",),
    "web3": (
        "anchoring/chain/evm.py",
        "anchoring/chain/answers.py",
        "anchoring/chain/recursion.py",
    ),
    "eth": ("anchoring/chain/embedded.py",),
    "jsonschema_rs": ("profiles/validation.py",),
    "fhir": ("profiles/resource.py",),
    "prometheus_client": ("fhir_server/portal/metrics.py",),
    "opentelemetry": ("fhir_server/tracing.py",),
    "rich": ("fhir_server/commands/",),
    "httpx2": (
        "anchoring/chain/rpc.py",
        "fhir_server/commands/",
        "fhir_server/portal/cosigning.py",
        "fhir_server/portal/fetching.py",
        "fhir_server/portal/outside_provider.py",
    ),
}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_imports_go_the_way_the_plan_says() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("form", MAKERS)
def test_a_form_is_made_in_one_file_only(form: str) -> None:
    made = {
        name
        for name, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == form
        if name.startswith("fhir_server/")
    }
    assert made == MAKERS[form]


def test_only_the_gate_opens_records_for_a_caller() -> None:
    """Whoever calls ``.open(`` of a vault is one of these, each of which decides or answers nobody."""
    known = {
        "fhir_server/pipeline/gate.py",
        "fhir_server/pipeline/policies.py",  # Consents, to decide
        "fhir_server/pipeline/actors.py",  # organizations' parents, to decide
        "fhir_server/interactions/reindex/stored.py",  # SearchParameters, to know what can be searched
        "fhir_server/interactions/erasing/erasures.py",  # its own AuditEvents, to prove an erasure
        "fhir_server/interactions/erasing/belonging.py",  # to know what an erased patient takes with her
        "fhir_server/evidence.py",  # the operator's audit of the log
        "fhir_server/inspection/inspector.py",  # the operator's check of the store
        "fhir_server/interactions/relabelling.py",  # the operator's job; answers nobody
        "fhir_server/interactions/registries/links.py",  # of a type that no interaction reaches
        "fhir_server/vault/writer.py",
    }
    found = {
        name
        for name, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "open"
        and ast.unparse(node.func.value).endswith("reader")
    }
    assert found <= known


def test_documents_are_read_where_the_gate_has_decided() -> None:
    """Whoever opens the chunks of a document holds a ``Stream``, or a record that was admitted, or answers nobody."""
    known = {
        "fhir_server/pipeline/pour.py",  # what is on record
        "fhir_server/interactions/binary.py",  # of a record that ``read`` gave
        "fhir_server/inspection/inspector.py",  # the operator's check of the store
    }
    found = {
        name
        for name, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "read"
        and ast.unparse(node.func.value).endswith("documents")
    }
    assert found == known


@pytest.mark.parametrize("library", DOORS)
def test_a_library_has_one_door(library: str) -> None:
    importers = {name for name, tree in sources() if library in set(imported(tree))}
    assert {name for name in importers if not name.startswith(DOORS[library])} == set()


def test_files_are_under_400_lines() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for folder in (*ROOMS, "tests")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


def test_no_room_is_called_by_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    named = [p for room in ROOMS for p in (ROOT / room).rglob("*") if p.stem in empty]
    assert named == []


def test_nothing_else_lies_at_the_top() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert {line.partition("/")[0] for line in listed.stdout.splitlines()} <= TOP


def test_no_registry_and_no_path_of_a_machine_is_written_down() -> None:
    hosts = ("pypi" + ".org", "registry." + "npmjs", "files.python" + "hosted", "repo1." + "maven")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    for name in listed.stdout.splitlines():
        if name.endswith((".gz", ".pdf", ".png")):
            continue
        text = (ROOT / name).read_text(errors="replace")
        assert not any(host in text for host in hosts), name
