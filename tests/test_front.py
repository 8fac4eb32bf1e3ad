"""The repository's front door: citation, changelog and what the one setting for the address brings."""
import configparser
import io
import re
import sys
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from conftest import ROOT

sys.path.insert(0, str(ROOT/"book"/"_ext"))
import pdf
import slim
import website

REPOSITORY = "https://github.com/Somebody/d2c"


def settings():
    config = configparser.ConfigParser(delimiters=["="])
    config.read(ROOT/"settings.ini", encoding="utf-8")
    return config["DEFAULT"]


def test_citation_is_in_step():
    citation, ours = yaml.safe_load((ROOT/"CITATION.cff").read_text(encoding="utf-8")), settings()
    assert citation.keys() >= {"cff-version", "message", "title", "authors"} and citation["cff-version"] == "1.2.0"
    assert citation["version"] == ours["version"] and citation["license"] == ours["license"].upper()
    assert citation["authors"] == [{"name": ours["author"]}]


def test_changelog_knows_the_version():
    assert f"\n## {settings()['version']}, " in (ROOT/"CHANGELOG.md").read_text(encoding="utf-8")


def configured(repository, baseurl=""):
    config = SimpleNamespace(html_theme_options={"repository_url": repository, "launch_buttons": {"thebe": False}}, html_baseurl=baseurl)
    website.use_address(None, config)
    return config


def test_without_an_address_nothing_points_anywhere():
    config = configured("")
    assert config.html_baseurl == "" and not any(config.html_theme_options.get(f"use_{what}_button") for what in ("repository", "edit_page", "issues"))
    assert config.html_theme_options["launch_buttons"] == {"thebe": False}
    assert website.head("DDIM", "A <b>", "", "nbs/ddim.html", "Book") == '<meta name="description" content="A &lt;b&gt;" />'


def test_an_address_brings_buttons_previews_and_a_sitemap():
    config = configured(REPOSITORY)
    assert config.html_baseurl == "https://somebody.github.io/d2c/"
    assert all(config.html_theme_options[f"use_{what}_button"] for what in ("repository", "edit_page", "issues"))
    assert config.html_theme_options["launch_buttons"]["colab_url"]
    head = website.head("DDIM", "About", config.html_baseurl, "nbs/ddim.html", "Book")
    assert 'property="og:url" content="https://somebody.github.io/d2c/nbs/ddim.html"' in head and "/d2c/_static/card.png" in head
    places = [place.text for place in ET.fromstring(website.sitemap(config.html_baseurl, {"nbs/ddim", "book/index"}).encode()).iter() if place.tag.endswith("loc")]
    assert places == ["https://somebody.github.io/d2c/book/index.html", "https://somebody.github.io/d2c/nbs/ddim.html"]


@pytest.mark.parametrize("repository, baseurl, site", [
    ("https://github.com/a/b.git", "", "https://a.github.io/b/"), ("https://github.com/a/a.github.io", "", "https://a.github.io/"),
    ("https://example.org/a/b", "https://book.example.org", "https://book.example.org/"), ("", "", "")])
def test_where_a_site_lives(repository, baseurl, site):
    assert website.home(repository, baseurl) == site


def test_an_address_that_is_none_is_refused():
    with pytest.raises(ValueError, match="is not https://github.com/OWNER/NAME"): website.home("github.com/a/b")


def test_stylesheets_keep_what_is_used():
    css = (".a{color:red}.b,.a>.c{x:y}.b{z:w}@media print{.b{p:q}.a{p:q}}a:not(.b){s:t}#d,#e{u:v}.a{--f:1;--g:2;x:var(--f)}.a{--g:3}"
           ".a{x:y;&:hover{--g:4}}@font-face{src:url(x)}")
    assert slim.slim_css(css, {"a", "c", "d"}, {"--f"}).split("\n") == [
        ".a{color:red}", ".a>.c{x:y}", "@media print{.a{p:q}}", "a:not(.b){s:t}", "#d{u:v}", ".a{--f:1;x:var(--f)}", ".a{x:y;&:hover{--g:4}}", "@font-face{src:url(x)}"]


def test_code_keeps_the_names_that_have_cards():
    assert slim.slim_page('<span class="n">eta</span> <span class="n">ax</span><a href="x"><span class="n">ax</span></a>', {"eta"}) == '<span class="n">eta</span> ax<a href="x"><span class="n">ax</span></a>'


def test_figures_look_the_same(browser, tmp_path):
    "Lines, marks, text, a picture, what is cut off at the axes and a hatch: the browser draws a figure and its slim form alike."
    from matplotlib import pyplot as plt
    from PIL import Image, ImageChops, ImageStat
    from d2c.figures import GREY, use_style
    use_style()
    rng, (fig, axes) = np.random.default_rng(0), plt.subplots(1, 3, figsize=(8, 3))
    axes[0].plot(rng.normal(size=100).cumsum(), "o-", alpha=.5, label=r"$\bar\alpha_t$")
    axes[0].set(xlim=(20, 60), title="10 % of it", yscale="symlog")
    axes[0].legend()
    axes[1].imshow(rng.random((8, 8)), alpha=.7)
    axes[2].scatter(*rng.normal(size=(2, 50)), c=rng.random(50), marker="x")
    axes[2].bar([0, 1], [1, 2], hatch="//", facecolor="none", edgecolor="C1")
    fig.savefig(tmp_path/"whole.svg")
    plt.close(fig)
    whole = (tmp_path/"whole.svg").read_text(encoding="utf-8")
    small = slim.slim_svg(whole)
    assert len(small) < .75*len(whole) and GREY not in small and "\n" not in small
    ids, used = set(re.findall(r' id="([^"]*)"', small)), set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', small))
    assert ids == {a or b for a, b in used}
    page, shots = browser.new_page(color_scheme="light"), []
    for svg in whole.replace(GREY, "#6b6b6b"), small:
        page.goto("about:blank")
        (tmp_path/"figure.svg").write_text(svg, encoding="utf-8")
        page.goto((tmp_path/"figure.svg").as_uri())
        shots.append(Image.open(io.BytesIO(page.screenshot())).convert("L"))
    page.close()
    assert ImageStat.Stat(shots[0]).stddev[0] > 10
    assert ImageStat.Stat(ImageChops.difference(*shots)).mean[0] < .05


def test_paths_keep_their_points():
    assert slim.slim_path("M 1 2 \nL 1.5 2.25 \nL 3 4 \nz\nL 1 3 \nQ 1 2 3 4 \nL 3.504 4 \n") == "M1 2l.5 .25 1.5 1.75zl0 1Q1 2 3 4l.5 0"


@pytest.mark.parametrize("repository", ["", REPOSITORY])
def test_a_small_site_with_and_without_an_address(repository, tmp_path):
    from sphinx.application import Sphinx
    (tmp_path/"index.rst").write_text("Noise\n=====\n\nThe first paragraph of this page says in a few words what it is about.\n", encoding="utf-8")
    (tmp_path/"conf.py").write_text("", encoding="utf-8")
    options = {"repository_url": repository, "repository_branch": "main", "path_to_docs": "", "launch_buttons": {"thebe": False}}
    Sphinx(tmp_path, tmp_path, tmp_path/"out", tmp_path/"trees", "html", status=None, confoverrides={
        "extensions": ["sphinx_book_theme", "website"], "html_theme": "sphinx_book_theme", "html_theme_options": options, "project": "d2c"}).build()
    page = (tmp_path/"out"/"index.html").read_text(encoding="utf-8")
    assert 'name="description" content="The first paragraph' in page
    expected = {f"{REPOSITORY}/edit/main/index.rst", f"{REPOSITORY}/issues/new", 'rel="canonical" href="https://somebody.github.io/d2c/index.html"', 'property="og:title" content="Noise"'}
    assert {part for part in expected if part in page} == (expected if repository else set())
    assert (tmp_path/"out"/"sitemap.xml").is_file() == bool(repository)
    assert repository or not [word for word in ("github.", "colab.", "og:", "canonical") if word in page]


PAGE = """<html><head><title>{0}</title></head><body><nav class="bd-links"><p class="caption">Part</p><ul><li><a href="{1}">1. One</a></li><li><a href="{2}">2. Two</a></li></ul></nav>
<article class="bd-article"><h1 id="top">{0}</h1><p>See <a href="{2}#top">the other</a>.</p><script>document.body.innerHTML = ""</script></article>{3}</body></html>"""


def test_the_book_as_one_pdf(browser, tmp_path, monkeypatch):
    "Pages in their order, links and the numbers in the contents lead to them, no script of a page runs."
    import pikepdf
    monkeypatch.chdir(tmp_path)
    following = lambda name: f'<a class="right-next" href="{name}">next</a>'
    site = tmp_path/pdf.SITE
    for name, text in {"index.html": "", "book/index.html": PAGE.format("Book", "../nbs/one.html", "../nbs/two.html", following("../nbs/one.html")),
                       "nbs/one.html": PAGE.format("One", "#", "two.html", following("two.html")), "nbs/two.html": PAGE.format("Two", "one.html", "#", "")}.items():
        (site/name).parent.mkdir(parents=True, exist_ok=True)
        (site/name).write_text(text, encoding="utf-8")
    paths = list(pdf.pages(site))
    together = site/"book"/"whole.html"
    together.write_text(pdf.gather(paths), encoding="utf-8")
    pdf.print_pdf(together, pdf.OUT, browser.new_page)
    pages = pdf.page_numbers(pdf.OUT)
    assert pages == {"nbs-one--": 3, "nbs-two--": 4, "nbs-two--top": 4}
    with pikepdf.open(pdf.OUT) as made: assert [str(part.Title) for part in outline(made.Root.Outlines)] == ["Book", "One", "Two"]
    tab = browser.new_page()
    tab.set_content(pdf.gather(paths))
    tab.evaluate(pdf.NUMBER, pages)
    assert tab.locator(".all-pages li").all_inner_texts() == ["1. One\n3", "2. Two\n4"]
    tab.close()


def outline(entries):
    entry = entries.get("/First")
    while entry is not None:
        yield entry
        entry = entry.get("/Next")
