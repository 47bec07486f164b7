"""Files themselves: downloads, and uploads of large ones by the Git LFS protocol.

Contents of large files are served from another origin than the Hub, as in real life: the same server under its other
name (127.0.0.1 and localhost). Its URLs are signed, and a request that brings a token there is refused.
"""

import hashlib
import hmac
import secrets
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from tests.hub.errors import HubError, entry_not_found
from tests.hub.state import Hub, endpoint, param

OTHER_NAME = {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}


class Files:
    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.storage = hub.storage
        self.secret = secrets.token_bytes(16)
        self.parts: dict[str, dict[int, bytes]] = {}  # SHA-256 -> part number -> bytes, of uploads under way

    def routes(self) -> list[Route]:
        routes = [Route("/_lfs/{sha256}", self.stored, methods=["GET", "HEAD"])]
        routes += [Route("/_lfs/{sha256}", self.receive, methods=["PUT"])]
        routes += [Route("/_lfs/{sha256}", self.complete, methods=["POST"])]
        for repo in ("/{namespace}/{name}", "/{kind}/{namespace}/{name}"):
            objects = repo + ".git/info/lfs/objects"
            routes += [
                Route(objects + "/batch", self.batch, methods=["POST"]),
                Route(objects + "/verify", self.verify, methods=["POST"]),
                Route(repo + "/resolve/{revision}/{path:path}", self.resolve, methods=["GET", "HEAD"]),
            ]
        return routes

    # Downloads

    async def resolve(self, request: Request) -> Response:
        """The file, or for a large one the way to it; Range requests get 206 in both cases."""
        repo, path = self.hub.repo(request), param(request, "path")
        commit = repo.resolve(param(request, "revision"))
        if path not in commit.files:
            raise entry_not_found(path, commit.id)
        file = commit.files[path]
        headers = {"X-Repo-Commit": commit.id, "ETag": f'"{file.etag}"'}
        if file.lfs:
            headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(file.size)}
            if request.url.hostname in OTHER_NAME:  # a client cannot follow a redirect to the same origin here
                location = self._signed(request, file.sha256, "GET")
                return Response(status_code=302, headers={**headers, "Location": location})
        return FileResponse(self.storage.path(file.sha256), headers=headers, media_type=_media_type(path))

    async def stored(self, request: Request) -> Response:
        sha256 = self._check_signature(request, "GET")
        return FileResponse(self.storage.path(sha256), headers={"ETag": f'"{sha256}"'})

    # Uploads

    async def batch(self, request: Request) -> Response:
        """Where to put each object; an object that is there already gets no actions."""
        repo, body = self.hub.repo(request, write=True), await request.json()
        if body["operation"] != "upload":
            raise HubError(400, f"Unknown LFS operation: {body['operation']}")
        url = f"{endpoint(request)}/{repo.prefix}{repo.id}.git/info/lfs/objects/verify"
        objects = []
        for wanted in body["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if not self.storage.has(wanted["oid"]):
                upload = self._upload_action(request, wanted["oid"], wanted["size"])
                answer["actions"] = {"upload": upload, "verify": {"href": url}}
            objects.append(answer)
        transfer = "multipart" if any(o["size"] > self.hub.part_size for o in objects) else "basic"
        return JSONResponse({"transfer": transfer, "objects": objects})

    def _upload_action(self, request: Request, sha256: str, size: int) -> dict[str, object]:
        if size <= self.hub.part_size:
            return {"href": self._signed(request, sha256, "PUT")}
        count = -(-size // self.hub.part_size)
        parts = {str(n): self._signed(request, sha256, "PUT", part=n) for n in range(1, count + 1)}
        header = {"chunk_size": str(self.hub.part_size), **parts}
        return {"href": self._signed(request, sha256, "POST"), "header": header}

    async def receive(self, request: Request) -> Response:
        """A whole object, or one part of a large one."""
        sha256 = self._check_signature(request, "PUT")
        if part := int(request.query_params.get("part", 0)):
            contents = await request.body()
            self.parts.setdefault(sha256, {})[part] = contents
            return Response(headers={"ETag": f'"{hashlib.md5(contents).hexdigest()}"'})
        with self.storage.incoming() as file:
            async for chunk in request.stream():
                file.write(chunk)
            self.storage.keep(file, sha256)
        return Response()

    async def complete(self, request: Request) -> Response:
        """All parts have come: they become one object."""
        sha256, body = self._check_signature(request, "POST"), await request.json()
        parts = self.parts.pop(sha256, {})
        with self.storage.incoming() as file:
            for sent in body["parts"]:
                contents = parts.get(sent["partNumber"], b"")
                if sent["etag"].strip('"') != hashlib.md5(contents).hexdigest():
                    raise HubError(400, f"Part {sent['partNumber']} is missing or another one")
                file.write(contents)
            self.storage.keep(file, sha256)
        return JSONResponse({"success": True})

    async def verify(self, request: Request) -> Response:
        self.hub.repo(request, write=True)
        body = await request.json()
        if not self.storage.has(body["oid"]) or self.storage.lfs_file(body["oid"]).size != body["size"]:
            raise HubError(404, f"LFS object {body['oid']} of {body['size']} bytes was not uploaded")
        return JSONResponse({})

    # Signatures

    def _signature(self, sha256: str, method: str, part: int) -> str:
        return hmac.new(self.secret, f"{method} {sha256} {part}".encode(), "sha256").hexdigest()

    def _signed(self, request: Request, sha256: str, method: str, *, part: int = 0) -> str:
        """A URL on the other origin that allows one method on one object."""
        self.storage.path(sha256)  # refuses what is no SHA-256
        host = OTHER_NAME.get(str(request.url.hostname), str(request.url.hostname))
        query = {"signature": self._signature(sha256, method, part), **({"part": part} if part else {})}
        return f"{request.url.scheme}://{host}:{request.url.port or 80}/_lfs/{sha256}?{urlencode(query)}"

    def _check_signature(self, request: Request, method: str) -> str:
        if "authorization" in request.headers:
            raise HubError(400, "A token was sent to the storage host, which must never see one")
        sha256, part = param(request, "sha256"), int(request.query_params.get("part", 0))
        if not hmac.compare_digest(request.query_params.get("signature", ""), self._signature(sha256, method, part)):
            raise HubError(403, "The signature of this URL is not valid")
        return sha256


def _media_type(path: str) -> str:
    return "text/plain; charset=utf-8" if path.endswith((".md", ".txt", ".json")) else "application/octet-stream"
