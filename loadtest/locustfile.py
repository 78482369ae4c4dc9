"""Load on the sample routes: the core path, mixed routes, both frontends' pages, a large download, an upload.

`make load`, or with `make run` in another terminal: `locust -f loadtest/locustfile.py --headless -u 20 -r 20 -t 30s
--html loadtest/results/load.html`. The exit code is 1 when a threshold of `loadtest/thresholds.py` was missed, 2 when
the host is not this machine.
"""

# mypy: disable-error-code="untyped-decorator, import-not-found, import-untyped, misc, unused-ignore"

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

from locust import FastHttpUser, between, events, task
from locust.runners import WorkerRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # Locust runs this file by its path, from anywhere

from loadtest.thresholds import Observed, Thresholds, is_loopback, missed

ITEMS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 42)
USERS = (1, 2, 3, 4, 5)
DOWNLOAD = 4 * 1024 * 1024
UPLOAD = bytes(1024 * 1024)
BULK = {"download", "upload"}
PAGES = {"web: product page", "mobile: product page"}
THRESHOLDS = Thresholds.from_environment(os.environ)
HEADERS = {
    "Accept": "application/json",
    "Accept-Language": "en-GB,en;q=0.9",
    "Cache-Control": "no-cache",
    "Referer": "http://shop.example/catalog?page=2",
    "User-Agent": "aiogate-load",
}


class Visitor(FastHttpUser):
    """Somebody who looks at items, and now and then does something else."""

    host = "http://127.0.0.1:8080"
    wait_time = between(0.01, 0.05)
    connection_timeout = 5.0
    network_timeout = 30.0

    def expect(self, method: str, path: str, name: str, status: int, **options: Any) -> Any:
        """One request that must be answered with just this status."""
        options.setdefault("headers", HEADERS)
        with self.client.request(method, path, name=name, catch_response=True, **options) as response:
            if response.status_code != status:
                response.failure(f"{response.status_code} instead of {status}")
                return None
            if name in BULK:
                self.check_bulk(name, response)
            elif name in PAGES and response.headers.get("X-Gateway-Completed") != "true":
                response.failure("a part of the page is missing")
            else:
                response.success()
            return response

    @staticmethod
    def check_bulk(name: str, response: Any) -> None:
        """Every byte must have come through."""
        if name == "download" and len(response.content) != DOWNLOAD:
            response.failure(f"{len(response.content)} of {DOWNLOAD} bytes")
        elif name == "upload" and response.json().get("bytes") != len(UPLOAD):
            response.failure(f"{response.text!r} after {len(UPLOAD)} bytes")
        else:
            response.success()

    @task(60)
    def core(self) -> None:
        self.expect("GET", f"/api/items/{random.choice(ITEMS)}", "core: item", 200)

    @task(8)
    def listing(self) -> None:
        self.expect("GET", "/api/items", "mixed: items", 200)

    @task(8)
    def reviews(self) -> None:
        self.expect("GET", f"/api/reviews?item_id={random.choice(ITEMS)}", "mixed: reviews", 200)

    @task(8)
    def user(self) -> None:
        self.expect("GET", f"/api/users/{random.choice(USERS)}", "mixed: user", 200)

    @task(8)
    def web_page(self) -> None:
        self.page("/web/products", "web: product page", HEADERS)

    @task(8)
    def mobile_page(self) -> None:
        self.page("/products", "mobile: product page", {**HEADERS, "X-Client": "mobile"})

    def page(self, path: str, name: str, headers: dict[str, str]) -> None:
        """One page, which is composed of several services' answers."""
        self.expect("GET", f"{path}/{random.choice(ITEMS)}", name, 200, headers=headers)

    @task(4)
    def ping(self) -> None:
        self.expect("GET", "/ping", "mixed: respond", 200)

    @task(4)
    def old_address(self) -> None:
        self.expect("GET", "/v1/items/42", "mixed: redirect", 308, allow_redirects=False)

    @task(4)
    def nowhere(self) -> None:
        self.expect("GET", "/nowhere", "mixed: not found", 404)

    @task(1)
    def download(self) -> None:
        self.expect("GET", f"/api/download?bytes={DOWNLOAD}", "download", 200)

    @task(1)
    def upload(self) -> None:
        self.expect("POST", "/api/upload", "upload", 200, data=UPLOAD)


@events.init.add_listener
def refuse_other_hosts(environment: Any, **_: Any) -> None:
    """Load goes to this machine and nowhere else."""
    host = environment.host or Visitor.host
    if not is_loopback(host):
        print(f"refused: {host} is not this machine", file=sys.stderr)
        raise SystemExit(2)
    report = getattr(environment.parsed_options, "html_file", None)
    if report:
        Path(report).parent.mkdir(parents=True, exist_ok=True)


@events.test_start.add_listener
def refuse_hosts_of_the_web_page(environment: Any, **_: Any) -> None:
    """The host may have been changed in Locust's own page since."""
    if not is_loopback(environment.host or Visitor.host):
        environment.process_exit_code = 2
        environment.runner.quit()


@events.quitting.add_listener
def judge(environment: Any, **_: Any) -> None:
    """Sets the exit code by the thresholds."""
    if isinstance(environment.runner, WorkerRunner) or environment.process_exit_code == 2:
        return
    observed = [
        Observed(
            entry.name,
            entry.num_requests,
            entry.num_failures,
            entry.get_response_time_percentile(0.95) or 0.0,
            entry.name in BULK,
        )
        for entry in environment.stats.entries.values()
    ]
    lines = missed(THRESHOLDS, observed)
    for line in lines:
        print(f"threshold missed: {line}", file=sys.stderr)
    if not lines:
        print("all thresholds kept", file=sys.stderr)
    environment.process_exit_code = 1 if lines else 0
