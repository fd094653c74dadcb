"""The committed code is what the locked compiler makes of the sources, and the sources say what they do."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.npm import installed

SOURCES = Path(__file__).resolve().parents[3] / "anchoring" / "contracts"
SOLC = Path(__file__).resolve().parents[1] / "solc"
ARTIFACTS = sorted(SOURCES.glob("*.json"))
LARGEST = 24_576  # bytes of code at an address (EIP-170)
PUBLIC = re.compile(
    r"^    (event|error|enum|struct|constructor|function \w+\([^{;]*?\b(?:external|public)\b"
    r"|[\w() =>]+ public (?:immutable )?\w+;)",
    re.MULTILINE,
)


def compiler() -> tuple[str, Path]:
    """Node, and the folder where the locked compiler is installed, once for this environment."""
    node = shutil.which("node")
    if not node:
        pytest.skip("the contracts were not recompiled: node is not installed")
    return node, installed(SOLC, "solc")


def test_the_committed_code_is_what_the_compiler_makes_of_the_sources(tmp_path: Path) -> None:
    node, folder = compiler()
    made = subprocess.run(
        [node, SOLC / "compile.js", SOURCES, tmp_path],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=180,
    )
    assert made.stderr == b""
    assert [path.name for path in sorted(tmp_path.iterdir())] == [path.name for path in ARTIFACTS]
    for path in ARTIFACTS:
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("path", ARTIFACTS, ids=lambda path: path.stem)
def test_a_contract_fits_and_its_bytes_do_not_depend_on_paths(path: Path) -> None:
    made = json.loads(path.read_text("utf-8"))
    assert (len(made["runtimeBytecode"]) - 2) // 2 < LARGEST
    assert made["compiler"].startswith("0.8.37+")
    assert made["settings"]["evmVersion"] == "cancun"
    assert made["settings"]["metadata"] == {"bytecodeHash": "none", "appendCBOR": False}


@pytest.mark.parametrize("path", sorted(SOURCES.glob("*.sol")), ids=lambda path: path.stem)
def test_every_public_item_of_a_contract_says_what_it_does(path: Path) -> None:
    source = path.read_text("utf-8")
    found = list(PUBLIC.finditer(source))
    assert re.search(r"^/// @title .*\n/// @notice ", source, re.MULTILINE)
    for item in found:
        above = source[: item.start()].rstrip("\n").rsplit("\n\n", 1)[-1].splitlines()
        comment = []
        for line in reversed(above):
            if not line.lstrip().startswith("//"):
                break
            comment.append(line)
        said = "\n".join(comment)
        wanted = (
            ("@notice", "@inheritdoc", "@param")
            if "constructor" in item[1]
            else ("@notice", "@inheritdoc")
        )
        assert any(word in said for word in wanted), item[0]
        for name in re.findall(
            r"[(,]\s*[\w\[\]]+ (?:memory |calldata )?(\w+)(?=[,)])", signature(source, item)
        ):
            assert "@inheritdoc" in said or re.search(rf"\b{name}\b", said), f"{item[0]}: {name}"


def signature(source: str, item: "re.Match[str]") -> str:
    """The parameters of a function; those of an event or error speak by their names."""
    if not item[1].startswith("function"):
        return ""
    start = source.index("(", item.start())
    return source[start : source.index(")", start) + 1]
