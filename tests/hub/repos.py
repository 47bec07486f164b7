"""Repositories: made, listed, described, hidden and deleted."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.hub.cards import front_matter
from tests.hub.errors import HubError
from tests.hub.spaces import Spaces
from tests.hub.state import Hub, endpoint, kind_of, param, repo_not_found
from tests.hub.storage import KINDS, Commit, Repo, git_oid

REPO_NAME = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


class Repos:
    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.storage = hub.storage

    def routes(self) -> list[Route]:
        repo = "/api/{kind}/{namespace}/{name}"
        return [
            Route("/api/repos/create", self.create, methods=["POST"]),
            Route("/api/repos/delete", self.delete, methods=["DELETE"]),
            Route("/api/{kind}", self.list_repos),
            Route(repo, self.info),
            Route(repo + "/revision/{revision}", self.info),
            Route(repo + "/settings", self.settings, methods=["PUT"]),
        ]

    async def create(self, request: Request) -> Response:
        body = await request.json()
        user = self.hub.writer(request, body.get("organization"))
        name, kind = body["name"], (body.get("type") or "model") + "s"
        if kind not in KINDS or not name or not set(name) <= REPO_NAME:
            raise HubError(400, f"Invalid repo type or name: {kind}, {name}")
        repo_id = f"{body.get('organization') or user.name}/{name}"
        repo = self.storage.find(kind, repo_id)
        status = 409 if repo else 200  # the client reads the url of a 409 too
        if repo is None:
            private = body.get("visibility") == "private" or bool(body.get("private"))
            repo = self.storage.create(kind, repo_id, author=user.name, private=private, sdk=body.get("sdk"))
            repo.secrets = {s["key"]: s["value"] for s in body.get("secrets", [])}
            repo.variables = {v["key"]: v["value"] for v in body.get("variables", [])}
            self.storage.save(repo)
        answer = {"url": f"{endpoint(request)}/{repo.prefix}{repo.id}", "name": repo.id, "id": repo.id}
        if status == 409:
            answer["error"] = f"You already created this {kind[:-1]} repo: {repo.id}"
        return JSONResponse(answer, status)

    async def delete(self, request: Request) -> Response:
        body = await request.json()
        user = self.hub.writer(request, body.get("organization"))
        owner = body.get("organization") or user.name
        repo = self.storage.find((body.get("type") or "model") + "s", f"{owner}/{body['name']}")
        if repo is None:
            raise repo_not_found(user)
        self.storage.delete(repo)
        return JSONResponse({})

    async def settings(self, request: Request) -> Response:
        repo, body = self.hub.repo(request, write=True), await request.json()
        repo.private = body["visibility"] == "private" if "visibility" in body else bool(body.get("private"))
        self.storage.save(repo)
        return JSONResponse({"private": repo.private})

    async def list_repos(self, request: Request) -> Response:
        kind, user, query = kind_of(request), self.hub.user(request), request.query_params
        repos = [r for r in self.storage.repos(kind) if self.hub.may_see(r, user)]
        infos = [self._info(r, r.resolve("main")) for r in repos if query.get("author", r.owner) == r.owner]
        infos = [i for i in infos if query.get("search", "").lower() in i["id"].lower()]
        wanted = set(query.getlist("filter"))
        return self.hub.page(request, [i for i in infos if wanted <= set(i["tags"])])

    async def info(self, request: Request) -> Response:
        repo = self.hub.repo(request)
        commit = repo.resolve(param(request, "revision") if "revision" in request.path_params else "main")
        return JSONResponse(self._info(repo, commit, blobs="blobs" in request.query_params))

    def _info(self, repo: Repo, commit: Commit, *, blobs: bool = False) -> dict[str, Any]:
        siblings: list[dict[str, Any]] = [{"rfilename": path} for path in sorted(commit.files)]
        if blobs:
            for sibling in siblings:
                file = commit.files[sibling["rfilename"]]
                sibling |= {"size": file.size, "blobId": file.oid}
                if file.lfs:
                    sibling["lfs"] = {"size": file.size, "sha256": file.sha256, "pointerSize": 134}
        card = front_matter(self.storage.read(commit.files["README.md"])) if "README.md" in commit.files else {}
        tags = [card["library_name"]] if card.get("library_name") else []
        info = {
            "_id": git_oid(repo.id.encode())[:24],
            "id": repo.id,
            "author": repo.owner,
            "sha": commit.id,
            "createdAt": repo.created,
            "lastModified": commit.date,
            "private": repo.private,
            "gated": repo.gated,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": tags + [str(t) for t in card.get("tags") or []],
            "cardData": json.loads(json.dumps(card, default=str)),  # YAML knows dates, JSON does not
            "siblings": siblings,
        }
        if repo.kind == "models":
            info |= {k: card[k] for k in ("library_name", "pipeline_tag") if k in card}
        if repo.kind == "spaces":
            info |= {"sdk": repo.sdk, "runtime": Spaces.runtime_of(repo)}
        return info
