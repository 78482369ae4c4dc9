"""The sample users, over real sockets."""

from pytest_aiohttp.plugin import AiohttpClient

from gateway.demo.users import USERS, users


async def test_users(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(users())

    response = await client.get("/users")

    assert (await response.json())["users"] == list(USERS.values())


async def test_one_user(aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(users())

    found, missing = await client.get("/users/5"), await client.get("/users/6")

    assert await found.json() == USERS[5]
    assert (missing.status, await missing.json()) == (404, {"error": "no user 6"})
