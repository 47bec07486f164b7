"""What Spaces have besides files: variables, secrets (never read back) and a runtime. Nothing is run here."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.hub.errors import HubError
from tests.hub.state import Hub
from tests.hub.storage import Repo


class Spaces:
    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def routes(self) -> list[Route]:
        space = "/api/{kind}/{namespace}/{name}"
        return [
            Route(space + "/runtime", self.runtime),
            Route(space + "/variables", self.variables, methods=["GET", "POST", "DELETE"]),
            Route(space + "/secrets", self.secrets, methods=["GET", "POST", "DELETE"]),
        ]

    async def runtime(self, request: Request) -> Response:
        return JSONResponse(self.runtime_of(_space(self.hub.repo(request))))

    async def variables(self, request: Request) -> Response:
        space = await self._changed(request, "variables")
        return JSONResponse({key: {"value": value} for key, value in space.variables.items()})

    async def secrets(self, request: Request) -> Response:
        space = await self._changed(request, "secrets")
        return JSONResponse({key: {} for key in space.secrets})

    async def _changed(self, request: Request, what: str) -> Repo:
        space = _space(self.hub.repo(request, write=True))
        if request.method != "GET":
            body, values = await request.json(), getattr(space, what)
            if request.method == "POST":
                values[body["key"]] = body["value"]
            else:
                values.pop(body["key"], None)
            self.hub.storage.save(space)
        return space

    @staticmethod
    def runtime_of(space: Repo) -> dict[str, Any]:
        stage = "RUNNING" if "app.py" in space.resolve("main").files else "NO_APP_FILE"
        hardware = {"current": "cpu-basic", "requested": "cpu-basic"}
        return {"stage": stage, "hardware": hardware, "storage": None, "gcTimeout": 172800}


def _space(repo: Repo) -> Repo:
    if repo.kind != "spaces":
        raise HubError(404, f"{repo.id} is not a Space")
    return repo
