"""Prints the page of a report as PDF with a headless browser of the Chromium family."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from o1lab.errors import LabError
from o1lab.text import one_line

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_TIMEOUT_S = 120


def find_browser() -> str:
    """Return the path of a browser.

    Raises:
        LabError: none is installed (code ``no_browser``).
    """
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    raise LabError(
        f"A PDF needs a browser, and none is installed (looked for {', '.join(BROWSERS)}).",
        "Install Chromium (Debian: apt install chromium), or print report.html from your own browser.",
        code="no_browser",
    )


def run_browser(browser: str, page: Path, *arguments: str) -> str:
    """Open a local page in a headless browser without network, and return what it printed.

    Args:
        browser: the program.
        page: the HTML file.
        arguments: further arguments, such as ``--dump-dom``.

    Raises:
        LabError: the browser failed (code ``browser``).
    """
    # Processes of the browser may still write to the profile when it has ended.
    with tempfile.TemporaryDirectory(prefix="o1lab-browser-", ignore_cleanup_errors=True) as profile:
        command = [
            browser, "--headless", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}", *arguments,
            *(["--no-sandbox"] if os.geteuid() == 0 else []),  # the sandbox refuses to start for root
            page.absolute().as_uri(),
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LabError(
                f"{browser} could not open the page: {one_line(str(error), 200)}.", "Try again.", code="browser"
            ) from error
    if done.returncode:
        output = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise LabError(
            f"{browser} ended with status {done.returncode}: {one_line(output[-1] if output else '', 200)}",
            "Print report.html from your own browser instead.",
            code="browser",
        )
    return done.stdout.decode("utf-8", "replace")


def print_pdf(browser: str, page: Path, target: Path) -> None:
    """Print a page as PDF, without a header that names the folder.

    Raises:
        LabError: the browser failed.
    """
    run_browser(browser, page, "--no-pdf-header-footer", f"--print-to-pdf={target.absolute()}")
    if not target.is_file():
        raise LabError(f"{browser} wrote no PDF.", "Print report.html from your own browser.", code="browser")
