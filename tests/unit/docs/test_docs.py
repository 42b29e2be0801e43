"""The documentation is true where that can be tested: examples load, links lead somewhere, tables are the code's."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from mongo_backup.agent.restore_contract import RestoreParameters
from mongo_backup.cli.main import COMMANDS
from mongo_backup.credentials import Credentials
from mongo_backup.objects.loader import load_directory

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in FENCE.findall(page.read_text("utf-8")) if kind == language]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_current(generator: ModuleType) -> None:
    pages: list[Path] = generator.pages()
    assert len(pages) >= 5
    stale = [page.name for page in pages if generator.render(page) != page.read_text("utf-8")]
    assert stale == [], "run: python docs/generate.py"


def test_every_generated_part_is_on_a_page(generator: ModuleType) -> None:
    used = {name for page in generator.pages() for _, name, _ in generator.MARKED.findall(page.read_text("utf-8"))}
    assert used == set(generator.PARTS)


def test_examples_of_objects_load(tmp_path: Path) -> None:
    """Each page's objects are one set: what one needs is there, or is in the example of `include/config`."""
    checked = 0
    for page in PAGES:
        examples = [text for text in blocks(page, "yaml") if re.search(r"^kind: ", text, re.MULTILINE)]
        folder = tmp_path / page.stem
        folder.mkdir(exist_ok=True)
        for number, text in enumerate(examples):
            (folder / f"{page.stem}{number}.yaml").write_text(text)
            checked += 1
        assert load_directory(folder).error_text() == "", page
    assert checked >= 4


def test_json_examples_are_what_they_say() -> None:
    found = {page.name: [json.loads(text) for text in blocks(page, "json")] for page in PAGES}
    for conf in (each["conf"] for each in found["trigger-by-rest.md"] if "conf" in each):
        RestoreParameters.model_validate(conf)
    for document in found["agent.md"]:
        assert Credentials.model_validate({"values": document}).values
    assert found["trigger-by-rest.md"]
    assert found["agent.md"]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    text = FENCE.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[str]:
    text = FENCE.sub("", page.read_text("utf-8"))
    return (target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, open_ = set(), [ROOT / "README.md"]
    while open_:
        page = open_.pop()
        if page not in reached:
            reached.add(page)
            files = ((page.parent / target.partition("#")[0]).resolve() for target in links(page))
            open_ += [file for file in files if file.suffix == ".md"]
    assert set(PAGES) <= reached


def test_commands_and_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        text = page.read_text("utf-8")
        for command in re.findall(r"mongo-backup ([a-z]+)\b(?! *:)", "\n".join(re.findall(r"`[^`]+`|^    .*$", text))):
            assert command in COMMANDS, f"{page.name}: mongo-backup {command}"
        for target in re.findall(r"\bmake ([a-z][a-z-]+)\b", "\n".join(re.findall(r"`[^`]+`|```.*?```", text, re.S))):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.name}: make {target}"


def test_every_command_is_told_of() -> None:
    text = (ROOT / "docs" / "reference" / "commands.md").read_text()
    assert [name for name in COMMANDS if f"`mongo-backup {name}" not in text] == []


def test_the_picture_shows_every_task() -> None:
    """The README's drawing is well-formed, explains itself to those who do not see it, and names all tasks."""
    from mongo_backup.agent.contract import BackupStep

    root = ElementTree.parse(ROOT / "docs" / "images" / "backup.svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert root.findtext(f"{space}title")
    assert root.findtext(f"{space}desc")
    words = " ".join(element.text or "" for element in root.iter(f"{space}text"))
    assert [step.value for step in BackupStep if step.value not in words] == []
    assert "docs/images/backup.svg" in (ROOT / "README.md").read_text()
