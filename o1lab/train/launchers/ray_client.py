"""A client of the REST API of Ray Jobs, which needs no Ray on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from o1lab.config import ClusterConfig
from o1lab.errors import LabError
from o1lab.text import one_line

PORT = 8265
_TIMEOUT_S = 20.0
_AGENT_S = 60.0
"""Seconds in which a cluster must have a process that takes jobs."""
_RETRY_S = 1.0
_CORRECT = "Correct [cluster] dashboard in o1lab.toml, or start Ray with `ray start --head`."


def dashboard(config: ClusterConfig, environ: Mapping[str, str] = os.environ) -> str:
    """Return the address of the dashboard, without a slash at its end."""
    named = config.dashboard or environ.get("RAY_API_SERVER_ADDRESS")
    if named:
        return (named if "://" in named else f"http://{named}").rstrip("/")
    address = config.address or environ.get("RAY_ADDRESS") or ""
    host = urlsplit(address if "://" in address else f"ray://{address}").hostname
    if address.startswith(("http://", "https://")):
        return address.rstrip("/")
    return f"http://{host if host and host not in ('auto', 'local') else '127.0.0.1'}:{PORT}"


def token(config: ClusterConfig, environ: Mapping[str, str] = os.environ) -> str:
    """Return the token of the cluster from the places where Ray looks for it; empty if there is none."""
    if value := environ.get(config.token_env, "").strip():
        return value
    named = environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named).expanduser() if named else Path.home() / ".ray" / "auth_token"
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


class RayJobs:
    """Ray Jobs at one dashboard. It gets the token only if it is the dashboard of the configuration.

    Args:
        config: the configuration of the cluster.
        address: the dashboard that an earlier run used; empty for that of the configuration.
    """

    def __init__(self, config: ClusterConfig, address: str = "") -> None:
        self._config = config
        self.address = address or dashboard(config)
        self._is_ours = self.address == dashboard(config)

    def submit(self, request: Mapping[str, Any]) -> str:
        """Submit a job and return its id; raises like :meth:`_ask`.

        A cluster that has just started has a dashboard before it has a process that takes jobs: this waits for it.
        """
        deadline = time.monotonic() + _AGENT_S
        while True:
            try:
                return str(self._ask("POST", "/api/jobs/", request)["submission_id"])
            except LabError as error:
                if "No available agent" not in error.message or time.monotonic() >= deadline:
                    raise
            time.sleep(_RETRY_S)

    def stop(self, job: str) -> None:
        """Ask Ray to end a job; raises like :meth:`_ask`."""
        self._ask("POST", f"/api/jobs/{job}/stop")

    def find(self, job: str) -> dict[str, Any] | None:
        """Return what Ray knows of a job; None if it does not know it. Raises like :meth:`_ask`."""
        try:
            return self._ask("GET", f"/api/jobs/{job}")
        except LabError as error:
            if error.code == "no_job":
                return None
            raise

    def log_end(self, job: str) -> str:
        """Return the last line that a job printed, where that can be read; else an empty text."""
        try:
            text = str(self._ask("GET", f"/api/jobs/{job}/logs").get("logs") or "")
        except LabError:
            return ""
        return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")

    def version(self) -> str:
        """Return the version of Ray that the cluster runs; raises like :meth:`_ask`, also for a wrong token."""
        self._ask("GET", "/api/jobs/")  # the version needs no token
        return str(self._ask("GET", "/api/version").get("ray_version", ""))

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a request, with the token if there is one for this address.

        Raises:
            LabError: the cluster does not answer (code ``no_cluster``), requires another token (``ray_token``), does
                not know the job (``no_job``), or refuses the request (``ray``).
        """
        import httpx2 as httpx

        secret = token(self._config) if self._is_ours else ""
        if not secret and os.environ.get("RAY_AUTH_MODE", "").lower() == "token":
            raise self._token_error("RAY_AUTH_MODE asks for a token, but there is none.")
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        try:
            with httpx.Client(timeout=_TIMEOUT_S, trust_env=False, follow_redirects=False) as client:
                answer = client.request(method, self.address + path, headers=headers, json=body)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            why = one_line(str(error) or type(error).__name__, 160)
            message = f"No Ray dashboard answers at {self.address}: {why}."
            raise LabError(message, _CORRECT, code="no_cluster") from error
        if answer.status_code == 401:
            raise self._token_error(f"The Ray at {self.address} wants a token, and there is none.")
        if answer.status_code == 403:
            raise self._token_error(f"The Ray at {self.address} does not accept the token.")
        if answer.status_code == 404 and path.startswith("/api/jobs/") and path != "/api/jobs/":
            raise LabError("Ray does not know the job.", code="no_job")
        if not answer.is_success:
            raise LabError(f"Ray refuses the request: {_last_line(answer.text)}", "See Ray's logs.", code="ray")
        try:
            found = answer.json()
        except ValueError as error:
            raise LabError(f"What answers at {self.address} is not Ray.", _CORRECT, code="no_cluster") from error
        return found if isinstance(found, dict) else {}

    def _token_error(self, message: str) -> LabError:
        if not self._is_ours:
            return LabError(
                f"The Ray at {self.address} gets no token, because it is not the dashboard of this lab.",
                "If you trust that address, set it as [cluster] dashboard in o1lab.toml.",
                code="ray_token",
            )
        places = f"{self._config.token_env}, or the file in RAY_AUTH_TOKEN_PATH, or ~/.ray/auth_token"
        return LabError(message, f"Put the cluster's token in {places}.", code="ray_token")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return one_line(lines[-1] if lines else "no reason given", 300)
