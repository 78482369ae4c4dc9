"""The sample users: sellers of items and writers of reviews."""

from __future__ import annotations

from typing import TypedDict

from aiohttp import web

from gateway.demo.switches import make_app, problem


class User(TypedDict):
    """One person."""

    id: int
    name: str
    email: str
    city: str


USERS: dict[int, User] = {
    number: {"id": number, "name": name, "email": f"{name.lower()}@example.com", "city": city}
    for number, name, city in (
        (1, "Ada", "London"),
        (2, "Grace", "New York"),
        (3, "Linus", "Helsinki"),
        (4, "Radia", "Portland"),
        (5, "Guido", "Haarlem"),
    )
}


async def list_users(request: web.Request) -> web.Response:
    """GET /users"""
    return web.json_response({"users": list(USERS.values())})


async def get_user(request: web.Request) -> web.Response:
    """GET /users/{id}"""
    number = int(request.match_info["id"])
    user = USERS.get(number)
    return problem(404, f"no user {number}") if user is None else web.json_response(user)


async def get_me(request: web.Request) -> web.Response:
    """GET /me: the user that the gateway says it is. Nobody else can be believed: this service checks no token."""
    number = request.headers.get("X-User-Id", "")
    user = USERS.get(int(number)) if number.isdecimal() else None
    return problem(401, "the gateway did not say who this is") if user is None else web.json_response(user)


def users() -> web.Application:
    """The users service."""
    return make_app(
        "users", [web.get("/users", list_users), web.get("/users/{id:[0-9]{1,9}}", get_user), web.get("/me", get_me)]
    )
