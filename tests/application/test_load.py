"""From text to an application, or to what is wrong with it."""

import gc
import sys
from pathlib import Path

import pytest
from aiohttp import web

from gateway.application.load import Reference, checked_app, load
from gateway.errors import ConfigError
from gateway.local_modules import PREFIX
from tests.support.apps import write_module

APP = "from aiohttp import web\napp = web.Application()\n"


def private() -> list[str]:
    return [name for name in sys.modules if name.startswith(PREFIX)]


def test_a_reference_has_two_parts() -> None:
    reference = Reference.parse("bff.web.handlers:app")
    assert (reference.module, reference.attribute, str(reference)) == (
        "bff.web.handlers",
        "app",
        "bff.web.handlers:app",
    )


@pytest.mark.parametrize(
    "text", ["app = web.Application()", "def app():\n    return web.Application()", "app = web.Application"]
)
def test_an_application_or_a_function_that_makes_one(tmp_path: Path, text: str) -> None:
    write_module(tmp_path, "handlers", f"from aiohttp import web\n{text}\n")
    code = load(Reference("handlers", "app"), tmp_path)
    assert isinstance(code.app, web.Application)
    assert code.is_current
    write_module(tmp_path, "handlers", "other")
    assert not code.is_current


async def test_a_coroutine_function_is_left_for_later(tmp_path: Path) -> None:
    write_module(tmp_path, "handlers", f"{APP}async def make():\n    return app\n")
    code = load(Reference("handlers", "make"), tmp_path)
    assert not isinstance(code.app, web.Application)
    assert isinstance(await code.app(), web.Application)


def test_an_installed_module(tmp_path: Path) -> None:
    code = load(Reference("aiohttp.web", "Application"), tmp_path)
    assert isinstance(code.app, web.Application)
    assert code.is_current
    code.forget()
    assert "aiohttp.web" in sys.modules


def test_a_file_comes_before_an_installed_module(tmp_path: Path) -> None:
    write_module(tmp_path, "aiohttp.web", f"import aiohttp\n{APP}app['local'] = aiohttp.web is not None\n")
    with pytest.warns(web.NotAppKeyWarning):
        code = load(Reference("aiohttp.web", "app"), tmp_path)
    assert isinstance(code.app, web.Application)
    assert code.app["local"]


@pytest.mark.parametrize(
    ("text", "reference", "said"),
    [
        (None, "bff.web:app", "no module 'bff.web': there is no bff/web.py in "),
        (None, "aiohttp.nothing:app", "no module 'aiohttp.nothing': there is no aiohttp/nothing.py in "),
        ("import no_such_thing", "handlers:app", "handlers does not load: ModuleNotFoundError: No module named"),
        (
            "import helper.inner",
            "handlers:app",
            "No module named 'helper'; files of the configuration's folder are imported relatively, as in `from . ",
        ),
        ("app = (", "handlers:app", "handlers does not load: SyntaxError: "),
        ("1 / 0", "handlers:app", "handlers does not load: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "handlers:app", "handlers does not load: SystemExit: 3"),
        ("application = 1", "handlers:app", "handlers has no 'app'; name an application, or a function that makes"),
        ("apps = 1", "handlers:app", "handlers has no 'app'; did you mean 'apps'?"),
        ("app = 1", "handlers:app", "handlers:app is no aiohttp web.Application, but something of type int"),
        (
            "def app():\n    return 1",
            "handlers:app",
            "makes no aiohttp web.Application, but something of type int",
        ),
        ("def app():\n    raise OSError('no')", "handlers:app", "handlers:app makes no application: OSError: no"),
        ("def app(more):\n    pass", "handlers:app", "makes no application: TypeError: app() missing 1 required"),
    ],
)
def test_what_is_wrong_with_it(tmp_path: Path, text: str | None, reference: str, said: str) -> None:
    before = private()
    write_module(tmp_path, "helper", "")
    if text is not None:
        write_module(tmp_path, "handlers", text)
    with pytest.raises(ConfigError) as caught:
        load(Reference.parse(reference), tmp_path)
    assert said in str(caught.value)
    assert private() == before


def test_local_modules_go_with_the_code(tmp_path: Path) -> None:
    write_module(tmp_path, "handlers", APP)
    before = private()
    code = load(Reference("handlers", "app"), tmp_path)
    other = load(Reference("handlers", "app"), tmp_path)
    assert len(private()) == len(before) + 4
    code.forget()
    code.forget()
    del other
    gc.collect()
    assert private() == before


def test_only_an_application_is_one() -> None:
    app = web.Application()
    assert checked_app(app, Reference("a", "b")) is app
    with pytest.raises(ConfigError, match="a:b makes no aiohttp web.Application, but something of type str"):
        checked_app("app", Reference("a", "b"), "makes")
