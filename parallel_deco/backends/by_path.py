"""Modules that the program has loaded from files to which no path leads, as plug-ins are: workers are told of these.

They would not find what is pickled by the name of such a module: the class of an argument, say.
"""

import os
import sys
from types import ModuleType

from parallel_deco.backends.references import Imports, file_of
from parallel_deco.backends.reloads import is_own, spec_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from typing import Any

__all__ = ["ByPath", "find_by_path"]

#: Names of modules, and their files.
Files = tuple[tuple[str, str], ...]


class ByPath:
    """The modules of the program's own that are not found by their names; in the caller.

    Notes
    -----
    To look costs 0.5 µs, and 1 µs more for each module that is new; for all of them when the path or the directory has
    changed: entries of the path may be relative to that.
    """

    __slots__ = ("_directory", "_files", "_imports", "_known", "_modules", "_path", "files")

    def __init__(self) -> None:
        self._imports = Imports()
        self._known: dict[str, Any] = {}
        self._path: list[str] = []
        self._directory = ""
        self._files: dict[str, str] = {}
        self._modules: dict[str, ModuleType] = {}
        self.files: Files = ()

    def look(self, directory: str) -> Files:
        """Return the names and files as they are now, in this working directory; empty where there is none."""
        now = sys.modules
        moved = sys.path != self._path or directory != self._directory
        if moved or (self._modules and any(now.get(name) is not module for name, module in self._modules.items())):
            self._path, self._directory = sys.path.copy(), directory
            self._known, self._modules, self._files = {}, {}, {}
        if self._imports.changed() or not self._known:
            modules = now.copy()
            self._search([name for name, module in modules.items() if self._known.get(name) is not module])
            self._known = modules
        return self.files

    def _search(self, names: "list[str]") -> None:
        paths = [os.path.join(self._directory, entry) for entry in self._path if isinstance(entry, str)]
        folders = {os.path.normpath(path) for path in paths if os.path.isabs(path)}  # else there is no directory
        for name in names:
            module = sys.modules.get(name)
            file = file_of(spec_of(module))
            if name == "__main__" or module is None or file is None or not is_own(file):
                continue
            if not self._is_found(name, file, folders) and os.path.exists(file):  # it may be in an archive
                self._modules[name], self._files[name] = module, file
        self.files = tuple(self._files.items())

    def _is_found(self, name: str, file: str, folders: set[str]) -> bool:
        """Return whether a file lies where its module's name is looked up; `folders` are those of the path."""
        folder, last = os.path.split(self._whole(file))
        if last.startswith("__init__."):
            folder, last = os.path.split(folder)
        parent, _, own = name.rpartition(".")
        if last.partition(".")[0] != own:
            return False
        if parent:
            folders = {self._whole(path) for path in getattr(sys.modules.get(parent), "__path__", ())}
        return folder in folders

    def _whole(self, path: str) -> str:
        """Return a path as it is from the root."""
        return os.path.normpath(os.path.join(self._directory, path))


class _Finder:
    """Finds modules in a worker where the program has found them."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "ModuleSpec | None":
        """Return where a module is to be loaded from, if the program has told."""
        file = self.files.get(name)
        if file is None:
            return None
        from importlib.util import spec_from_file_location

        return spec_from_file_location(name, file)


_finder = _Finder()


def find_by_path(files: Files) -> None:
    """Have imports find these modules in these files, before any others of their names; in a worker."""
    _finder.files = dict(files)
    if files and _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
