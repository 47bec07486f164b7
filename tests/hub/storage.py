"""What the Hub keeps: repositories with commits, branches and tags, and file contents addressed by their SHA-256.

Everything lies in one folder, so a server started again on it finds its repositories:

    FOLDER/blobs/SHA256                         contents, each kept once however many commits name it
    FOLDER/repos/{models,datasets,spaces}/NAMESPACE/NAME.json
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from tests.hub.errors import HubError, entry_not_found, revision_not_found

KINDS = ("models", "datasets", "spaces")
BRANCH, TAG, PULL_REQUEST = "refs/heads/", "refs/tags/", "refs/pr/"
GITATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n*.parquet filter=lfs diff=lfs merge=lfs -text\n"


@dataclass(frozen=True)
class File:
    """One file of a commit. `oid` is its git blob id: of the contents, or of the pointer for an LFS file."""

    sha256: str
    size: int  # bytes of the contents
    oid: str
    lfs: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid


@dataclass(frozen=True)
class Commit:
    id: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str  # ISO 8601 with a final Z, as the clients parse it
    files: dict[str, File]


@dataclass
class Repo:
    kind: str  # one of KINDS
    id: str  # "namespace/name"
    private: bool = False
    gated: str | bool = False  # "auto", "manual": one has to ask for access
    sdk: str | None = None  # spaces only
    created: str = ""
    refs: dict[str, str] = field(default_factory=dict)  # full name ("refs/heads/main") -> commit id
    commits: dict[str, Commit] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)  # spaces only
    secrets: dict[str, str] = field(default_factory=dict)  # spaces only

    @property
    def owner(self) -> str:
        return self.id.split("/")[0]

    @property
    def prefix(self) -> str:
        """What stands before the id in a URL: nothing for models."""
        return "" if self.kind == "models" else f"{self.kind}/"

    def branch_ref(self, revision: str) -> str | None:
        """The full name of the branch or pull request `revision`, None where there is no such thing to commit to."""
        names = (BRANCH + revision, revision)
        return next((n for n in names if n in self.refs and n.startswith((BRANCH, PULL_REQUEST))), None)

    def resolve(self, revision: str) -> Commit:
        """The commit of a branch, a tag, a full ref name, or a commit id (shortened to 7 characters at the least)."""
        for name in (BRANCH + revision, TAG + revision, revision):
            if name in self.refs:
                return self.commits[self.refs[name]]
        matches = [c for i, c in self.commits.items() if len(revision) >= 7 and i.startswith(revision)]
        if len(matches) != 1:
            raise revision_not_found(revision)
        return matches[0]

    def history(self, commit: Commit) -> Iterator[Commit]:
        """The commit and its ancestors, newest first."""
        current: Commit | None = commit
        while current:
            yield current
            current = self.commits[current.parent] if current.parent else None

    def last_change(self, commit: Commit, path: str) -> Commit:
        """The commit that gave `path` (a file or a folder) the contents it has in `commit`."""

        def contents(at: Commit) -> dict[str, File]:
            return {p: f for p, f in at.files.items() if p == path or p.startswith(path + "/")}

        last = commit
        for older in self.history(commit):
            if contents(older) != contents(commit):
                break
            last = older
        return last

    def add_commit(
        self, ref: str, *, files: dict[str, File], title: str, message: str, author: str, parent: str | None
    ) -> Commit:
        date = now()
        described = json.dumps([parent, title, message, author, date, {p: f.oid for p, f in sorted(files.items())}])
        commit = Commit(hashlib.sha1(described.encode()).hexdigest(), parent, title, message, author, date, files)
        self.commits[commit.id] = commit
        self.refs[ref] = commit.id
        return commit


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def git_oid(contents: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(contents) + contents).hexdigest()


def apply_operations(
    storage: "Storage", files: dict[str, File], operations: list[tuple[str, dict[str, str], bytes]]
) -> dict[str, File]:
    """The files after a commit's operations: (key, value, contents), as the commit endpoint receives them."""
    files = dict(files)
    for key, value, contents in operations:
        path = value["path"].strip("/") if key == "deletedFolder" else value["path"]
        if not path or path.startswith("/") or any(part in ("", ".", "..", ".git") for part in path.split("/")):
            raise HubError(400, f'Invalid path in the commit: "{path}"')
        if key == "file":
            files[path] = storage.add_bytes(contents)
        elif key == "lfsFile":
            if not storage.has(value["oid"]):
                raise HubError(400, f'LFS pointer of "{path}" points to a file that does not exist: upload it first')
            files[path] = storage.lfs_file(value["oid"])
        elif key in ("deletedFile", "deletedFolder"):
            gone = [p for p in files if (p == path if key == "deletedFile" else p.startswith(path + "/"))]
            if not gone:
                raise entry_not_found(path)
            for p in gone:
                del files[p]
        else:
            raise HubError(400, f"Unknown operation in the commit: {key}")
    return files


class Storage:
    """Repositories and contents in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = folder / "blobs"
        self.blobs.mkdir(parents=True, exist_ok=True)
        self._repos: dict[tuple[str, str], Repo] = {}
        for file in sorted(folder.glob("repos/*/*/*.json")):
            values = json.loads(file.read_text())
            for commit in values["commits"].values():
                commit["files"] = {p: File(**f) for p, f in commit["files"].items()}
            values["commits"] = {i: Commit(**c) for i, c in values["commits"].items()}
            repo = Repo(**values)
            self._repos[repo.kind, repo.id] = repo

    # Repositories

    def repos(self, kind: str) -> list[Repo]:
        return [repo for (k, _), repo in self._repos.items() if k == kind]

    def find(self, kind: str, repo_id: str) -> Repo | None:
        return self._repos.get((kind, repo_id))

    def create(self, kind: str, repo_id: str, *, author: str, private: bool, sdk: str | None = None) -> Repo:
        """A new repository with the Hub's initial commit, which holds .gitattributes."""
        repo = Repo(kind, repo_id, private=private, sdk=sdk, created=now())
        files = {".gitattributes": self.add_bytes(GITATTRIBUTES)}
        repo.add_commit(BRANCH + "main", files=files, title="initial commit", message="", author=author, parent=None)
        self._repos[kind, repo_id] = repo
        self.save(repo)
        return repo

    def delete(self, repo: Repo) -> None:
        del self._repos[repo.kind, repo.id]
        self._file_of(repo).unlink()

    def save(self, repo: Repo) -> None:
        """Writes what is known of a repository; every change to one ends with this."""
        file = self._file_of(repo)
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(".part")
        aside.write_text(json.dumps(asdict(repo)))
        os.replace(aside, file)

    def _file_of(self, repo: Repo) -> Path:
        return self.folder / "repos" / repo.kind / f"{repo.id}.json"

    # Contents

    def has(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def path(self, sha256: str) -> Path:
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise HubError(400, f"Not a SHA-256: {sha256}")  # it becomes a file name
        return self.blobs / sha256

    def read(self, file: File) -> bytes:
        return self.path(file.sha256).read_bytes()

    def incoming(self) -> BinaryIO:
        """An open temporary file beside the blobs, for `keep`."""
        return tempfile.NamedTemporaryFile(dir=self.folder, prefix="incoming-", delete=False)  # type: ignore[return-value]

    def keep(self, file: BinaryIO, sha256: str) -> None:
        """Files a complete incoming file under its SHA-256, or refuses it where the bytes are others."""
        file.close()
        with open(file.name, "rb") as written:
            actual = hashlib.file_digest(written, "sha256").hexdigest()
        if actual != sha256:
            os.unlink(file.name)
            raise HubError(400, f"The uploaded bytes have SHA-256 {actual}, expected {sha256}")
        os.replace(file.name, self.path(sha256))

    def add_bytes(self, contents: bytes) -> File:
        sha256 = hashlib.sha256(contents).hexdigest()
        if not self.has(sha256):
            with self.incoming() as file:
                file.write(contents)
            os.replace(file.name, self.path(sha256))
        return File(sha256, len(contents), git_oid(contents), lfs=False)

    def lfs_file(self, sha256: str) -> File:
        size = self.path(sha256).stat().st_size
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        return File(sha256, size, git_oid(pointer.encode()), lfs=True)
