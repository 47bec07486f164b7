"""What every route needs: who asks, which repository is meant and may be seen or written, one page of a long list."""

from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse

from tests.hub.errors import HubError
from tests.hub.storage import KINDS, Repo, Storage

Role = Literal["read", "write"]
OrgRole = Literal["admin", "write", "contributor", "read"]


@dataclass(frozen=True)
class User:
    name: str
    role: Role  # of the token that came with the request


@dataclass
class Hub:
    storage: Storage
    tokens: dict[str, User] = field(default_factory=dict)
    organizations: dict[str, dict[str, OrgRole]] = field(default_factory=dict)  # name -> {member: role}
    page_size: int = 1000  # items a page of a list
    part_size: int = 16 * 2**20  # bytes; larger LFS files are uploaded in parts of this size

    def user(self, request: Request) -> User | None:
        """Whoever the bearer token names; None without a token."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            return None
        if scheme.lower() != "bearer" or token not in self.tokens:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.tokens[token]

    def writer(self, request: Request, namespace: str | None = None) -> User:
        """The user, where the token may write in `namespace` (None: the user's own)."""
        user = self.user(request)
        if user is None:
            raise HubError(401, "Invalid username or password.")
        if user.role != "write":
            raise HubError(403, f"Your token can only read: use a token of {user.name} with the write role")
        if namespace not in (None, user.name) and self.role_in(namespace, user) in (None, "read"):
            raise HubError(403, f'You don\'t have the rights to write under the namespace "{namespace}"')
        return user

    def role_in(self, organization: str | None, user: User) -> OrgRole | None:
        return self.organizations.get(organization or "", {}).get(user.name)

    def may_see(self, repo: Repo, user: User | None) -> bool:
        return not repo.private or (
            user is not None and (user.name == repo.owner or self.role_in(repo.owner, user) is not None)
        )

    def repo(self, request: Request, *, write: bool = False) -> Repo:
        """The repository of the request's path. One that may not be seen looks like one that is not there."""
        kind = kind_of(request)
        user = self.user(request)
        repo = self.storage.find(kind, f"{param(request, 'namespace')}/{param(request, 'name')}")
        if repo is None or not self.may_see(repo, user):
            raise repo_not_found(user)
        if write:
            self.writer(request, repo.owner)
        return repo

    def page(self, request: Request, items: list[Any]) -> JSONResponse:
        """One page of a list; the Link header names the next one."""
        start = int(request.query_params.get("cursor", 0))
        headers = {}
        if start + self.page_size < len(items):
            query = [(k, v) for k, v in request.query_params.multi_items() if k != "cursor"]
            query.append(("cursor", str(start + self.page_size)))
            headers["Link"] = f'<{endpoint(request)}{request.scope["path"]}?{urlencode(query)}>; rel="next"'
        return JSONResponse(items[start : start + self.page_size], headers=headers)


def repo_not_found(user: User | None) -> HubError:
    """401 for anonymous visitors: it might be private, and they might be allowed to see it once logged in."""
    if user is None:
        return HubError(401, "Invalid username or password.", code="RepoNotFound")
    return HubError(404, "Repository not found", code="RepoNotFound")


def kind_of(request: Request) -> str:
    kind = request.path_params.get("kind", "models")
    if kind not in KINDS:
        raise HubError(404, f"No such kind of repository: {kind}")
    return kind


def param(request: Request, name: str) -> str:
    """A path parameter, unquoted: routes match on the raw path, where a slash inside a revision stays %2F."""
    return unquote(request.path_params[name])


def endpoint(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"
