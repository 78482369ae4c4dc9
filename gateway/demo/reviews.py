"""The sample reviews: what users said about items."""

from __future__ import annotations

from typing import TypedDict

from aiohttp import web

from gateway.demo.switches import make_app


class Review(TypedDict):
    """One user's word on one item."""

    id: int
    item_id: int
    user_id: int
    stars: int
    text: str


def _review(number: int, item_id: int, user_id: int, stars: int, text: str) -> Review:
    return {"id": number, "item_id": item_id, "user_id": user_id, "stars": stars, "text": text}


REVIEWS = [
    _review(1, 1, 2, 5, "Boils before I find the tea."),
    _review(2, 1, 3, 4, "Good, a little loud."),
    _review(3, 2, 4, 5, "Pours without a drip."),
    _review(4, 3, 5, 3, "Smaller than it looks."),
    _review(5, 5, 1, 4, "Warm light, heavy foot."),
    _review(6, 7, 2, 5, "Writes like new after a year."),
    _review(7, 8, 3, 2, "A seam came loose."),
    _review(8, 8, 5, 4, "Holds a laptop and lunch."),
    _review(9, 11, 1, 5, "The knights are lovely."),
    _review(10, 42, 4, 5, "Never travel without one."),
    _review(11, 42, 2, 5, "Dries fast."),
]


def _of_item(item_id: str) -> list[Review]:
    return [review for review in REVIEWS if str(review["item_id"]) == item_id]


async def list_reviews(request: web.Request) -> web.Response:
    """GET /reviews, or those of one item: `?item_id=42`."""
    item_id = request.query.get("item_id")
    return web.json_response({"reviews": REVIEWS if item_id is None else _of_item(item_id)})


async def item_reviews(request: web.Request) -> web.Response:
    """GET /reviews/{item_id}"""
    return web.json_response({"reviews": _of_item(request.match_info["item_id"])})


def reviews() -> web.Application:
    """The reviews service."""
    return make_app("reviews", [web.get("/reviews", list_reviews), web.get("/reviews/{item_id}", item_reviews)])
