"""The site is built without a warning, needs no network to be read, and its links lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from devtools import Browser

pytest.importorskip("sphinx", reason="the site is built with the extra docs")
ROOT = Path(__file__).parents[2]
# whoever adds a link to another site looks at it once, and names its host here
HOSTS = json.loads(Path(__file__).with_name("known_hosts.json").read_text(encoding="utf-8"))
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


def build(source, output, *options):
    command = ["-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-c", ROOT / "docs", *options, source, output]
    done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr  # a warning is an error
    assert done.stdout + done.stderr == ""
    return output


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    return build(ROOT, folder / "html", "-d", folder / "trees")


class Page(HTMLParser):
    """What a page loads, where it leads, and which places it has."""

    def __init__(self, path):
        super().__init__()
        self.loaded, self.links, self.places = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.places |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag in LOADED and given.get("rel") not in ("canonical", "search", "index", "next", "prev"):
            self.loaded.append(given.get(LOADED[tag]) or "")
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])


@pytest.fixture(scope="module")
def pages(site):
    found = (path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts)
    return {path: Page(path) for path in found}


def test_every_page_is_there(site, pages):
    written = [
        *ROOT.glob("docs/**/*.md"),
        ROOT / "docs/notebooks/phantom.ipynb",
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
    ]
    expected = {site / path.relative_to(ROOT).with_suffix(".html") for path in written}
    assert expected - pages.keys() == set()
    assert len(expected) > 20


def test_reading_needs_no_network(site, pages):
    loaded = {address for page in pages.values() for address in page.loaded}
    assert any(address.endswith(".css") or ".css?" in address for address in loaded)
    assert {address for address in loaded if urlsplit(address).netloc} == set()
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert not any(
        f"url({quote}{scheme}" in style for style in styles for quote in ("", "'", '"') for scheme in ("http", "//")
    )


def test_every_link_within_leads_to_a_place(site, pages):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            if not target.is_file() or (place and target in pages and place not in pages[target].places):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


def test_links_to_other_sites_are_https_and_to_known_hosts(site, pages):
    strange = {
        f"{path.relative_to(site)}: {link}"
        for path, page in pages.items()
        for link in page.links
        if (parts := urlsplit(link)).scheme and (parts.scheme != "https" or parts.hostname not in HOSTS)
    }
    assert strange == set(), "look at them, then add their hosts to tests/docs/known_hosts.json"


def test_the_contents_have_the_names_that_the_start_page_gives(site):
    """The model card has several first-level headings, as the Model Zoo wants them; Sphinx alone would show those."""
    contents = (site / "docs/index.html").read_text(encoding="utf-8").partition("bd-docs-nav")[2].partition("</nav>")[0]
    assert ">The model card<" in contents
    assert not {f">{name}<" for name in ("Model Overview", "References", "License")} & set(
        re.findall(r">[^<>]+<", contents)
    )
    card = (site / "docs/README.html").read_text(encoding="utf-8")
    assert "<h1>Model Overview<" in card


def test_formulas_are_mathml(tmp_path):
    formulas = "# Loss\n\n$\\gamma L'$\n\n$$\n\\frac{a}{b}\n$$\n"
    (tmp_path / "index.md").write_text("# Start\n\n```{toctree}\nloss\n```\n", encoding="utf-8")
    (tmp_path / "loss.md").write_text(formulas, encoding="utf-8")
    settings = ("root_doc=index", "include_patterns=*.md")
    build(tmp_path, tmp_path / "html", *(word for setting in settings for word in ("-D", setting)))
    page = tmp_path / "html/loss.html"
    text = page.read_text(encoding="utf-8")
    assert "<mi>γ</mi>" in text
    assert 'display="block"' in text
    assert {address for address in Page(page).loaded if urlsplit(address).netloc} == set()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


class TestInChromium:
    def show(self, browser, address, width):
        browser.resize(width, 900)
        here = json.dumps(unquote(str(address).partition("?")[0]))
        browser.open(address, ready=f"document.readyState === 'complete' && location.pathname === {here}")

    def test_the_search_works_from_a_folder(self, browser, site, tmp_path):
        self.show(browser, f"{site}/search.html?q=detectability", 1300)
        browser.wait("document.querySelectorAll('#search-results li a').length > 0")
        found = browser.run("[...document.querySelectorAll('#search-results li a')].map(a => a.href).join(' ')")
        assert "explanation/evidence.html" in found
        assert {urlsplit(request).scheme for request in browser.requests} <= {"file", "data"}
        browser.screenshot(tmp_path / "search.png")

    def test_the_columns_of_a_table_stay_readable_on_a_phone(self, browser, site):
        self.show(browser, site / "docs/explanation/evidence.html", 500)
        narrowest = browser.run("Math.min(...[...document.querySelectorAll('.bd-article td')].map(c => c.offsetWidth))")
        assert narrowest >= 100

    def test_no_page_is_wider_than_a_phone(self, browser, site, pages):
        wide = {}
        for path in pages.keys() - {site / "index.html"}:  # that one only leads on
            self.show(browser, path, 400)
            width = browser.run("document.documentElement.scrollWidth")
            wide |= {path.relative_to(site).as_posix(): width} if width > 400 else {}
        assert wide == {}
