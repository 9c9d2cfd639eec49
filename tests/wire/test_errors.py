"""The tree of the service's own errors is whole, and stands as a picture at its root."""

import builtins
import importlib
import inspect
import pkgutil
import re

import pytest

import services
from services.platform.errors import TillError
from services.register.errors import RegisterError

ROOTS = (TillError, RegisterError)
ALIKE = {name for name in vars(builtins) if name.endswith(("Error", "Exception"))}


def own_errors() -> dict[str, type[BaseException]]:
    """Every public error class that a module of the services defines."""
    errors: dict[str, type[BaseException]] = {}
    for module in pkgutil.walk_packages(services.__path__, "services."):
        # Migrations and the alembic environment are scripts: they run when Alembic loads them.
        if "versions" in module.name or module.name.endswith(("alembic_env.env", "__main__")):
            continue
        errors |= {
            name: value
            for name, value in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
            if issubclass(value, BaseException) and value.__module__ == module.name and not name.startswith("_")
        }
    return errors


def below(root: type[BaseException]) -> dict[str, type[BaseException]]:
    """The errors of this root's own part: the register's side is shipped alone, and has one of its own."""
    alone = root is RegisterError
    return {
        name: error
        for name, error in own_errors().items()
        if error.__module__.startswith("services.register.") is alone
    }


@pytest.mark.parametrize("root", ROOTS)
def test_every_error_has_the_root_of_its_part(root: type[BaseException]) -> None:
    assert {name for name, error in below(root).items() if not issubclass(error, root)} == set()


@pytest.mark.parametrize("root", ROOTS)
def test_the_picture_at_the_root_names_every_error_and_no_other(root: type[BaseException]) -> None:
    pictured = set(re.findall(r"[├└]── ([A-Z]\w+)", root.__doc__ or ""))
    assert pictured == below(root).keys() - {root.__name__}


def test_no_error_has_the_name_of_one_of_pythons_own() -> None:
    assert own_errors().keys() & ALIKE == set()
