"""The built site in a headless browser that can reach nothing but the site itself; how tests are spread over processes.

With `pytest -n 2` the tests of a file stay together, of the planted bugs those of a chapter; those that verify need no such company.
"""
import functools
import hashlib
import http.server
import shutil
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_build" / "html"
# A number that changes with the library: what takes some of many takes others by it.
TURN = int(hashlib.sha256(b"".join(path.read_bytes() for path in sorted((ROOT / "d2c").glob("*.py")))).hexdigest(), 16)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling
    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            if "test_verify" in nodeid: return nodeid
            return nodeid.rpartition("-" if "test_caught" in nodeid else "::")[0]
    return Together(config, log)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def address():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="session")
def browser():
    if not (SITE/"index.html").is_file(): pytest.skip("The site is not built; run `make book` first.")
    if not CHROMIUM: pytest.skip("There is no Chromium here; on Debian and Ubuntu: sudo apt install chromium.")
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def watch(tab, address):
    "Have a page note every foreign request, failed request and error."
    tab.foreign, tab.errors = [], []
    tab.on("request", lambda request: tab.foreign.append(request.url) if request.url.startswith("http") and not request.url.startswith(address) else None)
    tab.on("console", lambda message: tab.errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.on("response", lambda response: tab.errors.append(f"{response.status} {response.url}") if response.status >= 400 else None)
    return tab


@pytest.fixture
def tab(browser, address):
    "A page in a window of its own, watched."
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(120_000)
    tab = watch(context.new_page(), address)
    yield tab
    context.close()
