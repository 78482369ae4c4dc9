"""The sample reviews, over real sockets."""

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from gateway.demo.catalog import ITEMS
from gateway.demo.reviews import REVIEWS, reviews
from gateway.demo.users import USERS


def test_reviews_are_of_known_items_by_known_users() -> None:
    assert all(review["item_id"] in ITEMS and review["user_id"] in USERS for review in REVIEWS)


@pytest.mark.parametrize(
    ("path", "numbers"),
    [
        ("/reviews", [review["id"] for review in REVIEWS]),
        ("/reviews?item_id=42", [10, 11]),
        ("/reviews/42", [10, 11]),
        ("/reviews?item_id=none", []),
    ],
)
async def test_reviews_by_item(aiohttp_client: AiohttpClient, path: str, numbers: list[int]) -> None:
    client = await aiohttp_client(reviews())

    response = await client.get(path)

    assert [review["id"] for review in (await response.json())["reviews"]] == numbers
