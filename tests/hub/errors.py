"""The one error type of the server: a status, and the headers by which the clients choose their exception class."""


class HubError(Exception):
    """Answered as JSON `{"error": message}` with X-Error-Message and, where the clients look for it, X-Error-Code."""

    def __init__(self, status: int, message: str, *, code: str | None = None, commit: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = {"X-Error-Message": message}
        if code:
            self.headers["X-Error-Code"] = code  # RepoNotFound, RevisionNotFound or EntryNotFound
        if commit:
            self.headers["X-Repo-Commit"] = commit  # lets the client cache that a file does not exist in this commit


def revision_not_found(revision: str) -> HubError:
    return HubError(404, f"Invalid rev id: {revision}", code="RevisionNotFound")


def entry_not_found(path: str, commit: str | None = None) -> HubError:
    return HubError(404, f'"{path}" does not exist', code="EntryNotFound", commit=commit)
