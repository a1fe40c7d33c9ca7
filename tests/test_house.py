"""The house: who may import whom, what an import costs, and that the public names are all there."""

import ast
import doctest
import functools
import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import parallel_deco

PACKAGE = Path(parallel_deco.__file__).resolve().parent
NAME = "parallel_deco"

GROUND = {"_errors", "_traits", "_options", "_future", "_cpus", "_nesting", "_measure", "_sampler", "_sizes"}
GROUND |= {
    "_callables",
    "_died",
    "_importing",
    "_interrupts",
    "_records",
    "_seats",
    "_starting",
    "_switching",
    "_thread_bound",
    "_waiting",
}
GROUND |= {"_texts", "_turns", "_readings", "_results", "_iterator", "_shared"}
MAPPING = {"_mapping", "_submission", "_steering", "_profile", "_source", "_flow", "_judge", "_shutdown"}
MAPPING |= {"_call", "_elsewhere", "_lanes", "_left_open", "_machine", "_pending", "_progress", "_quick"}
MAPPING |= {"_brief", "_placing", "_readiness", "_shift", "_stretches"}
FACE = {"", "_decorator", "__main__", "_cli", "_demo", "_doctor", "_trial"}
WINGS = {"routing", "backends"}


def floor(module):
    """Return the floor of a module below the package: 3 for the face, 2 for mapping, 1 for a wing, 0 for the ground."""
    head = module.partition(".")[0]
    if head in WINGS:
        return 1
    return 3 if head in FACE else 2 if head in MAPPING else 0


def sources():
    """Return the name below the package and the path of each module that has source."""
    paths = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyx")]
    found = {}
    for path in sorted(paths):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        if parts[0] == "kernels":
            continue
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def modules():
    """Return the names of all modules; an installed extension has no source, but its types are there."""
    return {*sources(), *(path.stem for path in PACKAGE.glob("*.pyi"))}


@functools.cache
def imports(path):
    """Return the modules of the package that a source file imports, for running or for types."""
    if path.suffix == ".pyx":
        lines = path.read_text().splitlines()
        return {line.split()[1].partition(".")[2] for line in lines if line.strip().startswith(f"from {NAME}")}
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
            if any(f"{node.module}.{alias.name}".partition(".")[2] not in modules() for alias in node.names):
                found.add(node.module)
    below = {name.partition(".")[2] for name in found if name.startswith(f"{NAME}.")}
    return {name for name in below if name in modules()} | ({""} if NAME in found else set())


MODULES = sources()


@pytest.mark.parametrize("module", MODULES, ids=lambda name: name or NAME)
def test_imports_go_down_only_when_read(module):
    """A module imports from its own floor or from below; the wings never from each other; none the package itself."""
    own = floor(module)
    for other in imports(MODULES[module]):
        if other == "" and module not in ("__main__", "_cli", "_demo"):
            assert module == "", f"{module} imports the package itself"
        if module == "":
            continue
        assert floor(other) <= own, f"{module} imports {other} from above"
        if own == 1 and floor(other) == 1:
            assert module.partition(".")[0] == other.partition(".")[0], f"{module} imports {other} from the other wing"


def test_every_module_has_a_floor_when_the_house_grows():
    """A new module is put on a floor knowingly."""
    known = GROUND | MAPPING | FACE | WINGS
    assert {module.partition(".")[0] for module in MODULES} - known == set()


def test_imports_have_no_cycle_when_followed():
    """The modules can be put in an order in which each imports only earlier ones (what is for types only included)."""
    graph = {module: imports(path) - {module} for module, path in MODULES.items() if module not in ("", "__main__")}
    state = {}

    def visit(module, path):
        assert state.get(module) != "open", f"a cycle: {' → '.join([*path, module])}"
        if module in state or module not in graph:
            return
        state[module] = "open"
        for other in sorted(graph[module]):
            visit(other, [*path, module])
        state[module] = "done"

    for module in sorted(graph):
        visit(module, [])


def test_modules_tell_their_reason_when_opened():
    """Each file begins with a docstring of one sentence or more."""
    for module, path in MODULES.items():
        text = (
            ast.get_docstring(ast.parse(path.read_text())) if path.suffix == ".py" else path.read_text().split('"""')[1]
        )
        assert text, module
        assert text.splitlines()[0].rstrip().endswith((".", ":")), module


def run(code):
    """Run a piece of code in a fresh interpreter, and return what it prints, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=PACKAGE.parent, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


IMPORTED = "json.dumps([sorted(set(sys.modules) & set({forbidden})), threading.active_count()])"
HEAVY = ["numpy", "multiprocessing", "cloudpickle", "asyncio", "tqdm", "threadpoolctl"]
FORBIDDEN = [*HEAVY, "dis", "inspect", "logging"]


def test_import_is_light_when_the_package_is_imported():
    """`import parallel_deco` loads nothing heavy and starts nothing."""
    show = IMPORTED.format(forbidden=FORBIDDEN)
    assert run(f"import json, sys, threading, parallel_deco; print({show})") == [[], 1]


def test_decorating_is_light_when_nothing_runs():
    """Decorating loads nothing that takes long and is not needed, and starts no thread, no child and no descriptor."""
    show = IMPORTED.format(forbidden=[*HEAVY, "inspect", "dataclasses", "parallel_deco.routing.explanation"])
    code = f"""
import json, os, sys, threading
before = len(os.listdir("/proc/self/fd"))
from parallel_deco import parallel, config
@parallel(backend="processes")
def function(x):
    return x
function(3)
assert len(os.listdir("/proc/self/fd")) == before
print({show})
"""
    assert run(code) == [[], 1]


def test_tiny_work_is_light_when_it_stays_here():
    """A serial map loads neither numpy nor multiprocessing."""
    show = IMPORTED.format(forbidden=HEAVY)
    code = f"""
import json, sys, threading
from parallel_deco import parallel
assert list(parallel(abs, backend="serial").map(range(10))) == list(range(10))
print({show})
"""
    assert run(code)[0] == []


def test_all_names_are_there_when_listed():
    """`__all__` is sorted, complete, and each name can be had; `dir` shows them."""
    names = parallel_deco.__all__
    assert names == sorted(names)
    assert set(names) <= set(dir(parallel_deco))
    for name in names:
        assert getattr(parallel_deco, name) is not None
    space = {}
    exec("from parallel_deco import *", space)
    assert set(names) <= set(space)


def test_all_names_are_listed_when_public():
    """What the package shows without an underscore is in `__all__`, or one of its subpackages."""
    for name in parallel_deco.__all__:
        getattr(parallel_deco, name)
    shown = {name for name in vars(parallel_deco) if not name.startswith("_")}
    submodules = {module.name for module in pkgutil.iter_modules(parallel_deco.__path__)}
    assert shown - set(parallel_deco.__all__) - submodules - {"TYPE_CHECKING"} == set()


def test_public_names_are_in_all_when_a_module_defines_errors():
    """Every public error of `_errors` is public."""
    errors = importlib.import_module("parallel_deco._errors")
    assert set(errors.__all__) <= set(parallel_deco.__all__)


@pytest.mark.parametrize("name", parallel_deco.__all__)
def test_public_objects_read_well_when_shown(name):
    """Tracebacks and reprs say `parallel_deco.X`, and each object says what it is."""
    thing = getattr(parallel_deco, name)
    assert thing.__module__ == NAME
    assert thing.__qualname__ == name
    assert thing.__doc__


def test_missing_name_is_an_attribute_error_when_asked_for():
    """A name that does not exist is an AttributeError like any other module's."""
    with pytest.raises(AttributeError, match="module 'parallel_deco' has no attribute 'missing'"):
        parallel_deco.missing  # noqa: B018
    assert not hasattr(parallel_deco, "missing")


def test_errors_are_the_standard_librarys_too_when_caught():
    """Each error can be caught by its standard parent and by the root."""
    parents = {
        "InvalidOptionError": ValueError,
        "InvalidTypeError": TypeError,
        "NotPicklableError": TypeError,
        "WorkerDied": importlib.import_module("concurrent.futures").BrokenExecutor,
        "ItemTimeoutError": TimeoutError,
        "RemoteError": RuntimeError,
    }
    for name, parent in parents.items():
        error = getattr(parallel_deco, name)
        assert issubclass(error, parent)
        assert issubclass(error, parallel_deco.ParallelError)


@pytest.mark.parametrize("module", ["", "_decorator", "_options", "_measure"], ids=lambda name: name or NAME)
def test_examples_run_when_taken_as_tests(module):
    """The examples in docstrings do what they say."""
    imported = importlib.import_module(f"{NAME}.{module}".rstrip("."))
    failed, _ = doctest.testmod(imported, optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_types_are_shipped_when_installed():
    """`py.typed` is there, and each extension module has a stub."""
    assert (PACKAGE / "py.typed").exists()
    for source in PACKAGE.glob("*.pyx"):
        assert source.with_suffix(".pyi").exists(), source


def test_extensions_are_loaded_when_the_package_runs():
    """The iterator and the sampler are the compiled ones."""
    for source in PACKAGE.glob("*.pyx"):
        module = importlib.import_module(f"{NAME}.{source.stem}")
        assert Path(module.__file__).suffix in (".so", ".pyd")
