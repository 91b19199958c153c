"""Dashboard: the HTTP API of a Ray cluster's head, asked with the cluster's token."""

from collections.abc import Mapping
from typing import Any

import httpx

from partsong.errors import EngineError
from partsong_cluster.address import dashboard_url
from partsong_cluster.ray_token import WHERE_IT_GOES

__all__ = ["Dashboard"]

_TIMEOUT_S = 10.0


class Dashboard:
    """One cluster's; blocking."""

    def __init__(self, url: str, token: str | None, timeout_s: float = _TIMEOUT_S) -> None:
        """Raises InputError where that is no URL of a dashboard."""
        self.url = dashboard_url(url)
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._timeout_s = timeout_s

    def status(self, path: str, *, with_token: bool = True) -> int:
        """Return the HTTP status of a page. Raises EngineError when nobody answers."""
        return self._get(path, self._headers if with_token else {}).status_code

    def get(self, path: str) -> Any:
        """Return the JSON at a path. Raises EngineError with what to do: unreachable, or refused for want of the right token."""
        answer = self._get(path, self._headers)
        if answer.status_code in (401, 403):
            what = f"{self.url} refuses: " + ("the token is wrong" if self._headers else "it wants the cluster's token")
            raise EngineError("ray-token", what, remedy=WHERE_IT_GOES)
        try:
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPStatusError, ValueError) as error:
            what = f"{self.url}{path} answers {answer.status_code}, and not as Ray's dashboard does"
            raise EngineError("ray-unreachable", what, remedy="give the dashboard's address: http://HEAD:8265") from error

    def _get(self, path: str, headers: Mapping[str, str]) -> httpx.Response:
        try:
            return httpx.get(self.url + path, headers=dict(headers), timeout=self._timeout_s, follow_redirects=False)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            what = f"no dashboard answers at {self.url} ({type(error).__name__})"
            remedy = "check the address; from afar forward the port: ssh -L 8265:127.0.0.1:8265 HEAD"
            raise EngineError("ray-unreachable", what, remedy=remedy) from error
