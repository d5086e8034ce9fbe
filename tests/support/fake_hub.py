"""A model hub on this machine: enough of the Hugging Face Hub to create, upload and download models over HTTP.

``with FakeHub() as hub:`` answers at ``hub.address``, for ``HF_ENDPOINT``. It knows two tokens: WRITES and READS. Large
files go by git-lfs, as on the real one; those that have arrived are not asked for again.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.fault_server import FaultServer

WRITES, READS = "hf_" + "w" * 34, "hf_" + "r" * 34
OWNER = "kim"


@dataclass
class Repo:
    """A repository: its files, whether it is private, and how many commits it has."""

    files: dict[str, bytes] = field(default_factory=dict)
    private: bool = False
    commits: int = 0

    @property
    def commit(self) -> str:
        return hashlib.sha1(str(self.commits).encode()).hexdigest()  # noqa: S324 - as git does


class FakeHub(FaultServer):
    """The hub. ``repos`` holds the repositories, ``sent`` the ids of the large files that arrived, in order.

    ``breaks_at``: the number of the large file whose upload fails as if the network were gone; 0 for none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.address = self.url.removesuffix("/v1")
        self.repos: dict[str, Repo] = {}
        self.large: dict[str, bytes] = {}
        self.sent: list[str] = []
        self.calls: list[str] = []
        self.breaks_at = 0

    def more_routes(self) -> list[Route]:
        return [
            Route("/api/whoami-v2", self._who),
            Route("/api/validate-yaml", self._card, methods=["POST"]),
            Route("/api/repos/create", self._create, methods=["POST"]),
            Route("/api/models/{owner}/{name}/preupload/{revision}", self._preupload, methods=["POST"]),
            Route("/api/models/{owner}/{name}/commit/{revision}", self._commit, methods=["POST"]),
            Route("/api/models/{owner}/{name}", self._info),
            Route("/api/models/{owner}/{name}/revision/{revision:path}", self._info),
            Route("/{owner}/{name}.git/info/lfs/objects/batch", self._batch, methods=["POST"]),
            Route("/large/{oid}", self._large, methods=["PUT"]),
            Route("/{owner}/{name}/resolve/{revision}/{file:path}", self._resolve),
        ]

    def _refused(self, request: Request, *, writes: bool = False) -> Response | None:
        self.calls.append(f"{request.method} {request.url.path}")
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in (WRITES, READS):
            return _error(401, "Invalid credentials in Authorization header")
        if writes and token != WRITES:
            return _error(403 if token else 401, "Forbidden: your token has no write access")
        return None

    def _found(self, request: Request) -> Repo | None:
        repo = self.repos.get(f"{request.path_params['owner']}/{request.path_params['name']}")
        return None if repo is not None and repo.private and "authorization" not in request.headers else repo

    async def _who(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        return JSONResponse({"name": OWNER, "type": "user", "orgs": []})

    async def _card(self, request: Request) -> Response:
        content = (await request.json())["content"]
        errors = [] if content.startswith(("---", "#")) else [{"message": "the card has no front matter"}]
        return JSONResponse({"warnings": [], "errors": errors}, 400 if errors else 200)

    async def _create(self, request: Request) -> Response:
        if refused := self._refused(request, writes=True):
            return refused
        asked = await request.json()
        name = f"{asked['organization'] or OWNER}/{asked['name']}"
        if not name.startswith(f"{OWNER}/"):
            return _error(403, "You don't have the rights to create a model under this namespace")
        if name in self.repos:
            return _error(409, "You already created this model repo")
        private = asked.get("private", False) or asked.get("visibility") == "private"
        self.repos[name] = Repo({".gitattributes": b"*.safetensors filter=lfs\n"}, private)
        return JSONResponse({"url": f"{self.address}/{name}"})

    async def _info(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        repo = self._found(request)
        if repo is None:
            return _error(404 if "authorization" in request.headers else 401, "Repository not found", "RepoNotFound")
        if request.path_params.get("revision", "main") not in ("main", repo.commit):
            return _error(404, "Invalid rev id", "RevisionNotFound")
        name = f"{request.path_params['owner']}/{request.path_params['name']}"
        files = [{"rfilename": file, "size": len(data)} for file, data in repo.files.items()]
        return JSONResponse(
            {"id": name, "modelId": name, "sha": repo.commit, "private": repo.private, "siblings": files}
        )

    async def _preupload(self, request: Request) -> Response:
        if refused := self._refused(request, writes=True):
            return refused
        files = [
            {"path": one["path"], "uploadMode": "lfs" if _is_large(one["path"]) else "regular", "shouldIgnore": False}
            for one in (await request.json())["files"]
        ]
        return JSONResponse({"files": files})

    async def _batch(self, request: Request) -> Response:
        if refused := self._refused(request, writes=True):
            return refused
        objects: list[dict[str, Any]] = []
        for one in (await request.json())["objects"]:
            upload = {"upload": {"href": f"{self.address}/large/{one['oid']}", "header": {}}}
            objects.append(one | ({} if one["oid"] in self.large else {"actions": upload}))
        media = "application/vnd.git-lfs+json"
        return Response(json.dumps({"transfer": "basic", "objects": objects}), media_type=media)

    async def _large(self, request: Request) -> Response:
        data = await request.body()
        if self.breaks_at and len(self.sent) + 1 >= self.breaks_at:
            return _error(502, "Bad gateway")
        oid = request.path_params["oid"]
        assert hashlib.sha256(data).hexdigest() == oid
        self.sent.append(oid)
        self.large[oid] = data
        return Response()

    async def _commit(self, request: Request) -> Response:
        if refused := self._refused(request, writes=True):
            return refused
        repo = self._found(request)
        assert repo is not None
        for line in (await request.body()).splitlines():
            one = json.loads(line)
            if one["key"] == "file":
                repo.files[one["value"]["path"]] = base64.b64decode(one["value"]["content"])
            elif one["key"] == "lfsFile":
                repo.files[one["value"]["path"]] = self.large[one["value"]["oid"]]
        repo.commits += 1
        name = f"{request.path_params['owner']}/{request.path_params['name']}"
        url = f"{self.address}/{name}/commit/{repo.commit}"
        return JSONResponse({"commitUrl": url, "commitOid": repo.commit, "success": True})

    async def _resolve(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        repo = self._found(request)
        data = None if repo is None else repo.files.get(request.path_params["file"])
        if repo is None or data is None:
            return _error(404, "Entry not found", "EntryNotFound")
        headers = {"etag": f'"{hashlib.sha256(data).hexdigest()}"', "x-repo-commit": repo.commit}
        return Response(data, headers=headers, media_type="application/octet-stream")


def _is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".gguf"))


def _error(status: int, message: str, code: str = "") -> Response:
    headers = {"x-error-message": message} | ({"x-error-code": code} if code else {})
    return JSONResponse({"error": message}, status, headers)
