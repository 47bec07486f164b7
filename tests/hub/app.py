"""The server's application: all routes, who is who, and how errors are answered."""

from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.hub.cards import check_card
from tests.hub.commits import Commits
from tests.hub.errors import HubError
from tests.hub.faults import Faults
from tests.hub.lfs import Files
from tests.hub.repos import Repos
from tests.hub.spaces import Spaces
from tests.hub.state import Hub, repo_not_found
from tests.hub.storage import KINDS


def build_app(hub: Hub, faults: Faults) -> ASGIApp:
    api = Api(hub)
    routes = [
        Route("/api/whoami-v2", api.whoami),
        Route("/api/validate-yaml", api.validate_card, methods=["POST"]),
        *Repos(hub).routes(),
        *Spaces(hub).routes(),
        *Commits(hub).routes(),
        *Files(hub).routes(),
        Route("/{path:path}", api.unknown, methods=["GET", "HEAD", "POST", "PUT", "DELETE"]),
    ]
    errors: Any = {HubError: answer_error, HTTPException: answer_http_error}
    return RawPath(faults.around(Starlette(routes=routes, exception_handlers=errors)))


class RawPath:
    """Lets routes match on the path as it was sent: a branch `a/b` is one segment, `a%2Fb`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["raw_path"].decode("ascii")}
        await self.app(scope, receive, send)


async def answer_error(request: Request, error: HubError) -> Response:
    return JSONResponse({"error": error.message}, error.status, headers=error.headers)


async def answer_http_error(request: Request, error: HTTPException) -> Response:
    return await answer_error(request, HubError(error.status_code, str(error.detail)))


class Api:
    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    async def unknown(self, request: Request) -> Response:
        """What matched no route. Below a kind it is a repository that cannot be: an id without a namespace, say."""
        first = request.path_params["path"].removeprefix("api/").split("/")[0]
        if first in KINDS or "/resolve/" in request.path_params["path"]:
            raise repo_not_found(self.hub.user(request))
        raise HubError(404, f"Not found: {request.scope['path']}")

    async def whoami(self, request: Request) -> Response:
        user = self.hub.user(request)
        if user is None:
            raise HubError(401, "Invalid username or password.")
        token = {"displayName": f"{user.name}'s token", "role": user.role}
        auth = {"type": "access_token", "accessToken": token}
        found = ((name, self.hub.role_in(name, user)) for name in self.hub.organizations)
        orgs = [{"type": "org", "name": name, "fullname": name, "roleInOrg": role} for name, role in found if role]
        return JSONResponse({"type": "user", "name": user.name, "fullname": user.name, "orgs": orgs, "auth": auth})

    async def validate_card(self, request: Request) -> Response:
        body = await request.json()
        errors, warnings = check_card(body["content"], body.get("repoType") or "model")
        found = {"errors": [{"message": e} for e in errors], "warnings": [{"message": w} for w in warnings]}
        return JSONResponse(found, 400 if errors else 200)
