"""The tree of the service's own errors is whole, and stands as a picture at its root."""

import builtins
import importlib
import inspect
import pkgutil
import re

import services
from services.platform.errors import TillError

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


def test_every_error_of_the_services_has_the_one_root() -> None:
    assert {name for name, error in own_errors().items() if not issubclass(error, TillError)} == set()


def test_the_picture_at_the_root_names_every_error_and_no_other() -> None:
    pictured = set(re.findall(r"[├└]── ([A-Z]\w+)", TillError.__doc__ or ""))
    assert pictured == own_errors().keys() - {"TillError"}


def test_no_error_has_the_name_of_one_of_pythons_own() -> None:
    assert own_errors().keys() & ALIKE == set()
