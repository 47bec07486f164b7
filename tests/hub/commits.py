"""Commits, the trees of files they hold, branches and tags."""

import base64
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.hub.errors import HubError, entry_not_found, revision_not_found
from tests.hub.state import Hub, endpoint, param
from tests.hub.storage import BRANCH, PULL_REQUEST, TAG, Commit, File, Repo, apply_operations, git_oid

LFS_SUFFIXES = (".safetensors", ".parquet", ".bin", ".arrow", ".png", ".jpg", ".jpeg", ".webp", ".gif", ".zip")
LFS_SIZE = 10 * 2**20  # bytes; larger files are LFS files whatever they hold


class Commits:
    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.storage = hub.storage

    def routes(self) -> list[Route]:
        repo = "/api/{kind}/{namespace}/{name}"
        return [
            Route(repo + "/preupload/{revision}", self.preupload, methods=["POST"]),
            Route(repo + "/commit/{revision}", self.commit, methods=["POST"]),
            Route(repo + "/commits/{revision}", self.commits),
            Route(repo + "/tree/{revision}", self.tree),
            Route(repo + "/tree/{revision}/{path:path}", self.tree),
            Route(repo + "/paths-info/{revision}", self.paths_info, methods=["POST"]),
            Route(repo + "/refs", self.refs),
            Route(repo + "/branch/{branch}", self.create_branch, methods=["POST"]),
            Route(repo + "/branch/{branch}", self.delete_branch, methods=["DELETE"]),
            Route(repo + "/tag/{revision}", self.create_tag, methods=["POST"]),
            Route(repo + "/tag/{revision}", self.delete_tag, methods=["DELETE"]),
        ]

    async def preupload(self, request: Request) -> Response:
        repo, body = self.hub.repo(request, write=True), await request.json()
        revision = param(request, "revision")
        if repo.branch_ref(revision) is None and "create_pr" not in request.query_params:
            raise revision_not_found(revision)
        files, answers = repo.resolve(revision).files, []
        for file in body["files"]:
            binary = b"\0" in base64.b64decode(file.get("sample", ""))
            lfs = binary or file["path"].endswith(LFS_SUFFIXES) or file["size"] > LFS_SIZE
            answer = {"path": file["path"], "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
            if file["path"] in files:
                answer["oid"] = files[file["path"]].etag  # lets the client see that nothing changed
            answers.append(answer)
        return JSONResponse({"files": answers})

    async def commit(self, request: Request) -> Response:
        repo, revision = self.hub.repo(request, write=True), param(request, "revision")
        user = self.hub.writer(request, repo.owner)
        lines = [json.loads(line) for line in (await request.body()).splitlines() if line.strip()]
        if not lines or lines[0]["key"] != "header" or not lines[0]["value"].get("summary"):
            raise HubError(400, "A commit begins with a header that holds a summary")
        header, head = lines[0]["value"], repo.resolve(revision)
        pull_request = "create_pr" in request.query_params
        if pull_request:
            ref: str | None = f"{PULL_REQUEST}{1 + sum(r.startswith(PULL_REQUEST) for r in repo.refs)}"
        else:
            ref = repo.branch_ref(revision)
        if ref is None:
            raise revision_not_found(revision)  # a tag or a commit id: there is nothing to move on
        parent = header.get("parentCommit")
        if parent and not head.id.startswith(parent):
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        operations = [(i["key"], i["value"], base64.b64decode(i["value"].get("content", ""))) for i in lines[1:]]
        commit = repo.add_commit(
            ref,
            files=apply_operations(self.storage, head.files, operations),
            title=header["summary"],
            message=header.get("description", ""),
            author=user.name,
            parent=head.id,
        )
        self.storage.save(repo)
        url = f"{endpoint(request)}/{repo.prefix}{repo.id}"
        answer = {"success": True, "commitOid": commit.id, "commitUrl": f"{url}/commit/{commit.id}", "hookOutput": ""}
        if pull_request:
            answer["pullRequestUrl"] = f"{url}/discussions/{ref.removeprefix(PULL_REQUEST)}"
        return JSONResponse(answer)

    async def commits(self, request: Request) -> Response:
        repo = self.hub.repo(request)
        history = repo.history(repo.resolve(param(request, "revision")))
        described = ({**_commit_summary(c), "message": c.message, "authors": [{"user": c.author}]} for c in history)
        return self.hub.page(request, list(described))

    # Trees

    async def tree(self, request: Request) -> Response:
        repo = self.hub.repo(request)
        commit = repo.resolve(param(request, "revision"))
        folder = param(request, "path").strip("/") if "path" in request.path_params else ""
        start = folder + "/" if folder else ""
        below = [p for p in commit.files if p.startswith(start)]
        if folder and not below:
            raise entry_not_found(folder, commit.id)
        if request.query_params.get("recursive", "").lower() not in ("true", "1"):
            below = list({start + p[len(start) :].split("/")[0]: None for p in below})
        else:
            parents = {p[:i] for p in below for i in range(len(start), len(p)) if p[i] == "/"}
            below += sorted(parents)
        expand = request.query_params.get("expand", "").lower() in ("true", "1")
        return self.hub.page(request, [_entry(repo, commit, p, expand) for p in sorted(below)])

    async def paths_info(self, request: Request) -> Response:
        repo, form = self.hub.repo(request), await request.form()
        commit = repo.resolve(param(request, "revision"))
        expand = str(form.get("expand", "")).lower() == "true"
        paths = [str(p).strip("/") for p in form.getlist("paths")]
        known = [p for p in paths if p in commit.files or any(f.startswith(p + "/") for f in commit.files)]
        return JSONResponse([_entry(repo, commit, p, expand) for p in known])

    # Branches and tags

    async def refs(self, request: Request) -> Response:
        repo = self.hub.repo(request)

        def named(start: str) -> list[dict[str, str]]:
            refs = [(r, c) for r, c in repo.refs.items() if r.startswith(start)]
            return [{"name": r.removeprefix(start), "ref": r, "targetCommit": c} for r, c in refs]

        answer = {"branches": named(BRANCH), "tags": named(TAG), "converts": [], "pullRequests": named(PULL_REQUEST)}
        return JSONResponse(answer)

    async def create_branch(self, request: Request) -> Response:
        repo, body = self.hub.repo(request, write=True), await request.json()
        target = repo.resolve(body.get("startingPoint") or "main")
        return self._add_ref(repo, BRANCH + param(request, "branch"), target)

    async def create_tag(self, request: Request) -> Response:
        repo, body = self.hub.repo(request, write=True), await request.json()
        return self._add_ref(repo, TAG + body["tag"], repo.resolve(param(request, "revision")))

    async def delete_branch(self, request: Request) -> Response:
        return self._delete_ref(self.hub.repo(request, write=True), BRANCH + param(request, "branch"))

    async def delete_tag(self, request: Request) -> Response:
        return self._delete_ref(self.hub.repo(request, write=True), TAG + param(request, "revision"))

    def _add_ref(self, repo: Repo, ref: str, target: Commit) -> Response:
        if ref in repo.refs:
            raise HubError(409, f"Reference already exists: {ref}")
        repo.refs[ref] = target.id
        self.storage.save(repo)
        return JSONResponse({})

    def _delete_ref(self, repo: Repo, ref: str) -> Response:
        if ref == BRANCH + "main":
            raise HubError(403, "The main branch cannot be deleted")
        if repo.refs.pop(ref, None) is None:
            raise revision_not_found(ref)
        self.storage.save(repo)
        return JSONResponse({})


def _commit_summary(commit: Commit) -> dict[str, str]:
    return {"id": commit.id, "title": commit.title, "date": commit.date}


def _entry(repo: Repo, commit: Commit, path: str, expand: bool) -> dict[str, Any]:
    """A file or folder as listings show it."""
    file: File | None = commit.files.get(path)
    if file is None:
        inside = sorted(f"{p} {f.oid}" for p, f in commit.files.items() if p.startswith(path + "/"))
        entry: dict[str, Any] = {"type": "directory", "path": path, "size": 0, "oid": git_oid("".join(inside).encode())}
    else:
        entry = {"type": "file", "path": path, "size": file.size, "oid": file.oid}
        if file.lfs:
            entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
    if expand:
        entry["lastCommit"] = _commit_summary(repo.last_change(commit, path))
    return entry
