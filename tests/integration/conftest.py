"""What several modules here share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.oidc import OidcProvider, oidc_provider


@pytest.fixture(scope="session")
def provider() -> Iterator[OidcProvider]:
    """One for all tests: it takes a second to start, and no test counts on what is signed or stored there."""
    with oidc_provider() as running:
        yield running
