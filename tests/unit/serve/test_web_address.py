"""The public address of the app in a browser: Host and Origin as browsers write them."""

from __future__ import annotations

import pytest

from o1lab.errors import UsageError
from o1lab.serve.web import listen_for_web


@pytest.mark.parametrize(
    ("public_url", "host", "origin"),
    [
        ("HTTP://MyHost:9000/", "myhost:9000", "http://myhost:9000"),
        ("https://lab.example:443", "lab.example", "https://lab.example"),
        ("http://lab.example:80", "lab.example", "http://lab.example"),
        ("http://[::1]:8000", "[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_host_and_origin_are_compared_as_browsers_write_them(public_url: str, host: str, origin: str) -> None:
    bound, address = listen_for_web(0, public_url)
    bound.close()
    assert host in address.hosts and origin in address.origins


@pytest.mark.parametrize(
    "public_url", ["http://[", "http://h:x", "h:80", "http://h?x=1", "http://h/p", "http://u@h", ""]
)
def test_other_texts_are_refused(public_url: str) -> None:
    with pytest.raises(UsageError, match="not a public URL"):
        listen_for_web(0, public_url)
