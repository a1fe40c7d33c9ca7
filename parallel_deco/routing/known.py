"""What is known of other people's code: the tables that the reading of effects looks things up in.

Written by hand from the documentation of each library. A name that is missing here is treated with suspicion,
so a gap costs speed (the function stays on shared memory), not data.
"""

from __future__ import annotations

import collections
import enum
import os
import sys
import types
from collections.abc import Iterable
from typing import Final

from parallel_deco.routing.lookup import attribute, is_a, is_iterator_type, mro, namespace, type_name

__all__ = [
    "AGGREGATES",
    "ALIASING",
    "APPLYING",
    "ASKED_BY",
    "ATOMIC_METHODS",
    "CONSUMING",
    "COPIES",
    "FRESH_METHODS",
    "FRESH_MODULES",
    "HANDS_OUT",
    "INPLACE_METHODS",
    "KEEPS",
    "LOGGING_SETTINGS",
    "LOOKS_AT_NOTHING",
    "LOOP_OF_THREAD",
    "MUTATES_FIRST",
    "MUTATES_SECOND",
    "MUTATING_METHODS",
    "ORDERS",
    "OUTPUTS",
    "OUT_POSITIONS",
    "PROCESS_STATE",
    "RESEEDING",
    "SCALAR_ATTRIBUTES",
    "SHALLOW_METHODS",
    "SHARED_RANDOM",
    "STREAM",
    "STREAM_LOOKS",
    "VERBS",
    "WRITES_TO_FIRST",
    "Species",
    "asks_to_write",
    "changes_process",
    "draws",
    "finds_parts",
    "gives_new",
    "has_no_other",
    "is_data",
    "is_library",
    "is_order",
    "is_stateful",
    "is_used_up",
    "may_give_new",
    "method_draws",
    "mutating",
    "overwrites",
    "own_function",
    "sets_something",
    "species",
    "steers_library",
    "takes_stream",
    "transforms",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# --- whose code it is ------------------------------------------------------------------------------------------

# Libraries whose functions are believed to change nothing but what the tables below say. Not followed: their
# internals are caches and C. The rest of what is installed is followed like the user's own code.
_LIBRARIES: Final = _words("""
    PIL aiohttp astropy attr attrs blosc2 bs4 certifi cffi charset_normalizer cloudpickle cryptography cupy cv2
    cytoolz dateutil h5py httpx idna imageio jax joblib jsonschema lxml lz4 markupsafe msgpack networkx nltk numba
    numexpr numpy orjson pandas parallel_deco polars psutil pyarrow pydantic pydantic_core pytz rapidfuzz regex
    requests scipy shapely simplejson skimage sklearn snappy spacy sympy threadpoolctl tokenizers toolz torch
    torchvision tqdm transformers typing_extensions tzdata tzlocal ujson urllib3 xarray xgboost xxhash yaml zarr
    zstandard zstd
""")

_STANDARD: Final = sys.stdlib_module_names | {"builtins"}
_STANDARD_DIRECTORY: Final = os.path.dirname(os.__file__) + os.sep


def is_library(module: str) -> bool:
    """Say whether `module` belongs to the standard library or to a library of the table."""
    top = module.partition(".")[0]
    return (top in _STANDARD and top != "__main__") or top in _LIBRARIES


def steers_library(thing: object) -> bool:
    """Say whether code of a library acts on the attributes of `thing`: a module of its own, a logger, an array."""
    if is_a(thing, types.ModuleType):
        return is_library(getattr(thing, "__name__", ""))
    if species(type(thing))[0] in (Species.LOGGER, Species.RANDOM) or thing is sys.modules:
        return True
    return is_data(type(thing)) or type_name(type(thing)) == "decimal.Context"


def own_function(function: types.FunctionType) -> bool:
    """Say whether the code of `function` is to be read: not of the standard library nor of a known one."""
    file = function.__code__.co_filename
    if file.startswith("<frozen"):
        return False
    if file.startswith(_STANDARD_DIRECTORY) and "-packages" not in file:
        return False
    module = dict.get(function.__globals__, "__name__")
    top = module.partition(".")[0] if is_a(module, str) else ""
    return top in sys.stdlib_module_names or not is_library(top)


# --- methods ---------------------------------------------------------------------------------------------------

# Names of methods that change their receiver, whatever its type.
MUTATING_METHODS: Final = _words("""
    append appendleft extend extendleft insert remove pop popleft popitem clear update setdefault add discard sort
    reverse rotate move_to_end subtract difference_update intersection_update symmetric_difference_update
    write writelines writestr put put_nowait get_nowait send sendall fill resize itemset partition setfield setflags
    set paste putpixel putdata putalpha putpalette thumbnail alpha_composite setdiag eliminate_zeros sum_duplicates
    sort_indices read_string read_dict read_file
    seek truncate flush close frombytes fromlist fromfile fromunicode byteswap
    acquire release notify notify_all set_result set_exception set_state setstate seed shuffle spawn
    fit partial_fit fit_transform fit_predict set_params load_state_dict register backward step zero_grad train
    cache_clear
    add_node add_edge add_nodes_from add_edges_from remove_node remove_edge commit rollback
    __setitem__ __delitem__ __setattr__ __delattr__ __iadd__ __isub__ __imul__ __iand__ __ior__ __ixor__
    __itruediv__ __ifloordiv__ __imod__ __ipow__ __imatmul__ __ilshift__ __irshift__ __set__ __next__ __setstate__
    __init__ __missing__
""")

# Methods that always give something new and change nothing, of receivers of such a type.
_TABLE_METHODS: Final = _words("""
    add set_index sort_index reindex join shift diff where mask interpolate stack unstack pivot explode nlargest
    nsmallest drop_duplicates isin isna notna map sample abs sub mul div
""")
_GIVES_NEW: Final = {
    "PIL.Image.Image": _words("convert resize rotate crop transpose filter point quantize reduce transform split"),
    "pandas.core.frame.DataFrame": _TABLE_METHODS,
    "pandas.core.series.Series": _TABLE_METHODS,
    "pandas.core.indexes.base.Index": _words("append insert putmask"),
    "pandas.DataFrame": _TABLE_METHODS,
    "pandas.Series": _TABLE_METHODS,
    "pandas.Index": _words("append insert putmask"),
    "torch.Tensor": _words("add sub mul div"),
    "numpy.ndarray": _words("flatten"),
}


_ANY_GIVES_NEW: Final = frozenset().union(*_GIVES_NEW.values())


def may_give_new(name: str) -> bool:
    """Say whether `gives_new` may be true of a method, before types are looked at."""
    return name in _ANY_GIVES_NEW


def gives_new(cls: type, name: str) -> bool:
    """Say whether a method of instances of `cls` changes nothing, whatever its name, and gives something new."""
    return any(name in _GIVES_NEW.get(type_name(base), ()) for base in mro(cls))


# What the names of others begin with, and the methods so called that give something new instead.
_MUTATING_PREFIXES: Final = ("add_", "set_", "remove_", "insert_", "append_", "replace_", "clear_", "del_")
_NOT_MUTATING: Final = _words("set_index set_axis set_flags add_prefix add_suffix set_precision")

# Methods that write to their first argument, unless it is the name of a file.
WRITES_TO_FIRST: Final = _words("""
    save savefig to_csv to_json to_parquet to_pickle to_excel to_html to_feather tofile write_csv write_parquet writexml
""")

# What methods of containers call of what they are given: others may call anything.
ASKED_BY: Final = {
    **dict.fromkeys(("append", "appendleft", "put", "put_nowait", "set_result", "set_exception"), ()),
    **dict.fromkeys(("index", "count", "__contains__"), ("__eq__", "__hash__")),
    **dict.fromkeys(("add", "discard", "remove", "get", "setdefault"), ("__eq__", "__hash__")),
    **dict.fromkeys(("insert", "pop", "__getitem__"), ("__eq__", "__hash__", "__index__")),
}

# Those of them that are one step in C: threads may call them at the same time.
ATOMIC_METHODS: Final = _words("""
    append appendleft extend extendleft insert remove pop popleft popitem clear setdefault add discard
    write writelines put put_nowait get_nowait send sendall acquire release notify notify_all set_result set_exception
    flush commit
""")

# Those of them that hand out what is there.
HANDS_OUT: Final = _words("pop popleft popitem")

# Read-looking methods that use up their receiver or write into their arguments.
CONSUMING: Final = _words("readinto readinto1 recv_into recvfrom_into copyto pack_into")

VERBS: Final = {
    "append": "appends to",
    "appendleft": "appends to",
    "extend": "extends",
    "add": "adds to",
    "insert": "inserts into",
    "pop": "takes from",
    "popitem": "takes from",
    "popleft": "takes from",
    "remove": "removes from",
    "discard": "removes from",
    "update": "updates",
    "sort": "sorts",
    "reverse": "reverses",
    "clear": "empties",
    "fill": "fills",
    "write": "writes to",
    "put": "puts into",
    "send": "sends to",
    "setdefault": "stores into",
    "__setitem__": "stores into",
    "__delitem__": "deletes from",
    "__next__": "takes from",
    "acquire": "acquires",
}

# Methods whose result shares nothing with the receiver, except the elements of a shallow copy.
FRESH_METHODS: Final = _words("""
    all any argmax argmin argsort astype choose clip compress copy cumprod cumsum count decode dot
    encode endswith find format hex index isalnum isalpha isdigit islower isnumeric isoformat isspace isupper
    issubset issuperset isdisjoint join ljust lower lstrip max mean min nonzero prod ptp read readline readlines
    removeprefix removesuffix repeat replace rfind rindex rjust round rpartition rsplit rstrip searchsorted split
    splitlines startswith std strftime strip sum swapcase take timestamp title tobytes tolist total translate upper
    var zfill difference intersection symmetric_difference union most_common elements as_posix exists is_file is_dir
    read_text read_bytes hexdigest digest bit_length bit_count item trace median quantile match fullmatch search
    findall finditer sub subn predict predict_proba score transform merge assign reset_index rename drop sort_values
    fillna dropna apply agg pivot_table melt to_dict _asdict
""")


# Those of them that are believed of anything that comes from an array or a table.
AGGREGATES: Final = _words("all any argmax argmin astype copy count max mean median min prod std sum tolist var")

# Methods whose result is a new container of the old elements.
SHALLOW_METHODS: Final = _words("""
    copy union difference intersection symmetric_difference elements tolist take repeat compress choose to_dict _asdict
""")

# Methods of arrays and tables that call what they are given with what is in these, or with the whole.
APPLYING: Final = _words("map apply applymap transform agg aggregate assign pipe")

# Types of which a method that finds something, which is fresh elsewhere, finds a part.
_TREES: Final = _words("xml lxml bs4")


def finds_parts(cls: type, name: str) -> bool:
    """Say whether a method of instances of `cls` finds a part of them."""
    return name in ("find", "findall") and type_name(cls).partition(".")[0] in _TREES


# Attributes that are numbers, names or tuples of them, on every type of the known libraries that has them.
SCALAR_ATTRIBUTES: Final = _words("shape size ndim dtype itemsize nbytes strides name stem suffix year month day")


# Types of which instances have the attributes of their class and no others.
_CLOSED: Final = frozenset(map(id, (list, dict, tuple, set, frozenset, bytearray, collections.deque)))


def has_no_other(cls: type) -> bool:
    """Say whether an attribute that is not found on `cls` does not exist on its instances either."""
    return id(cls) in _CLOSED or type_name(cls) == "numpy.ndarray"


_DATA: Final = _words("PIL numpy pandas polars pyarrow scipy torch xarray")


def is_data(cls: type) -> bool:
    """Say whether instances of `cls` are arrays, tables, images and the like, whose methods give more of them."""
    return type_name(cls).partition(".")[0] in _DATA and species(cls)[0] is Species.NATIVE


def mutating(name: str) -> bool:
    """Say whether a method called `name` is known to change its receiver; ``add_`` is torch's way to say so."""
    return (
        name in MUTATING_METHODS
        or (name[-1:] == "_" and name[:1] != "_")
        or (name.startswith(_MUTATING_PREFIXES) and name not in _NOT_MUTATING)
    )


# Methods that change what they are given: a tree, a record of the log, which keeps what it was formatted with.
_TRANSFORMS: Final = {
    "ast.NodeTransformer": _words("visit generic_visit"),
    "logging.Formatter": _words("format"),
    "logging.BufferingFormatter": _words("format"),
    "logging.Handler": _words("format handle emit"),
    "logging.Logger": _words("handle callHandlers"),
    "logging.LoggerAdapter": _words("handle"),
    "logging.handlers.QueueHandler": _words("prepare"),
}
_TRANSFORMING: Final = frozenset().union(*_TRANSFORMS.values())


def transforms(name: str, cls: type) -> bool:
    """Say whether a method of instances of `cls` changes what it is given."""
    return name in _TRANSFORMING and any(name in _TRANSFORMS.get(type_name(base), ()) for base in mro(cls))


# --- functions -------------------------------------------------------------------------------------------------

# Functions that change their first argument.
MUTATES_FIRST: Final = _words("""
    _heapq.heappush _heapq.heappop _heapq.heapify _heapq.heapreplace _heapq.heappushpop _heapq._heappop_max
    _heapq._heapify_max _heapq._heapreplace_max _heapq.heappush_max _heapq.heappop_max _heapq.heapify_max
    _heapq.heapreplace_max _heapq.heappushpop_max
    heapq.heappush heapq.heappop heapq.heapify heapq.heapreplace heapq.heappushpop
    ast.fix_missing_locations ast.increment_lineno
    _bisect.insort _bisect.insort_left _bisect.insort_right bisect.insort bisect.insort_left bisect.insort_right
    _operator.setitem _operator.delitem _operator.iadd _operator.isub _operator.imul _operator.iand _operator.ior
    _operator.ixor _operator.itruediv _operator.ifloordiv _operator.imod _operator.ipow _operator.imatmul
    _operator.ilshift _operator.irshift _operator.iconcat
    operator.setitem operator.delitem operator.iadd operator.isub operator.imul operator.iconcat operator.ior
    builtins.setattr builtins.delattr builtins.next builtins.anext
    numpy.copyto numpy.put numpy.place numpy.putmask numpy.fill_diagonal numpy.put_along_axis numpy.ndarray.sort
    numpy.random.shuffle random.shuffle random.Random.shuffle functools.update_wrapper
    cv2.rectangle cv2.circle cv2.line cv2.ellipse cv2.polylines cv2.fillPoly cv2.fillConvexPoly cv2.putText
    cv2.drawContours cv2.arrowedLine cv2.drawMarker cv2.floodFill cv2.accumulate cv2.randu cv2.randn
    PIL.ImageDraw.Draw PIL.ImageDraw.ImageDraw PIL.ImageDraw.floodfill
    xml.etree.ElementTree.SubElement _elementtree.SubElement xml.etree.ElementTree.indent lxml.etree.SubElement
    csv.writer _csv.writer csv.DictWriter numpy.save numpy.savez numpy.savez_compressed numpy.savetxt
""")

# Functions that write to their second argument, unless it is the name of a file.
MUTATES_SECOND: Final = _words("""
    json.dump pickle.dump _pickle.dump marshal.dump plistlib.dump yaml.dump yaml.safe_dump ujson.dump simplejson.dump
    shutil.copyfileobj torch.save joblib.dump
    logging.Formatter.format logging.Handler.format logging.Handler.handle logging.StreamHandler.emit
""")

# Functions that read from, or write to, what they are given as a file, or tell it what they find.
_TAKES_STREAM: Final = _words("""
    csv.writer csv.reader csv.DictWriter csv.DictReader _csv.writer _csv.reader json.dump json.load pickle.dump
    pickle.load pickle.Pickler pickle.Unpickler _pickle.dump _pickle.load _pickle.Pickler _pickle.Unpickler marshal.dump
    marshal.load plistlib.dump plistlib.load tomllib.load yaml.dump yaml.safe_dump yaml.safe_load yaml.load
    shutil.copyfileobj io.TextIOWrapper io.BufferedReader io.BufferedWriter _io.TextIOWrapper _io.BufferedReader
    _io.BufferedWriter gzip.GzipFile gzip.open bz2.BZ2File bz2.open lzma.LZMAFile lzma.open zipfile.ZipFile tarfile.open
    wave.open configparser.RawConfigParser.write xml.etree.ElementTree.XMLParser xml.etree.ElementTree.XMLPullParser
    xml.etree.ElementTree.parse xml.etree.ElementTree.iterparse xml.etree.ElementTree.TreeBuilder
    xml.sax.parse logging.StreamHandler contextlib.redirect_stdout contextlib.redirect_stderr traceback.print_exc
    numpy.save numpy.load numpy.savetxt numpy.loadtxt numpy.savez numpy.savez_compressed pandas.read_csv
    pandas.read_json pandas.read_parquet torch.save torch.load joblib.dump joblib.load
""")


def takes_stream(name: str) -> bool:
    """Say whether a function, by its dotted name, reads from or writes to what it is given."""
    return name in _TAKES_STREAM


# Functions that tell what something is, whatever is in it, or only hand it on.
LOOKS_AT_NOTHING: Final = _words("""
    builtins.isinstance builtins.issubclass builtins.type builtins.id builtins.callable builtins.super builtins.iter
    builtins.getattr builtins.setattr builtins.next builtins.__build_class__ functools.partial builtins.vars
""")

# Functions that change the process they run in.
PROCESS_STATE: Final = _words("""
    os.chdir os.fchdir os.chroot os.putenv os.unsetenv os.umask os.setuid os.setgid os.seteuid os.setegid os.setsid
    os.setpgid os.setpriority os.nice os.sched_setaffinity os.dup2 os.close os.write os.lseek os.ftruncate
    posix.chdir posix.fchdir posix.chroot posix.putenv posix.unsetenv posix.umask posix.setuid posix.setgid
    posix.setsid posix.nice posix.sched_setaffinity posix.dup2 posix.close posix.write posix.lseek posix.ftruncate
    signal.signal signal.setitimer signal.alarm _signal.signal _signal.setitimer _signal.alarm
    sys.setrecursionlimit sys.settrace sys.setprofile sys.setswitchinterval sys.set_int_max_str_digits
    sys.addaudithook sys.setdlopenflags locale.setlocale _locale.setlocale gc.disable gc.enable gc.freeze
    gc.set_threshold atexit.register atexit.unregister warnings.filterwarnings warnings.simplefilter
    warnings.resetwarnings logging.basicConfig logging.disable logging.addLevelName logging.setLoggerClass
    logging.captureWarnings faulthandler.enable socket.setdefaulttimeout _socket.setdefaulttimeout time.tzset
    signal.siginterrupt signal.pthread_sigmask logging.setLogRecordFactory logging.config.dictConfig
    logging.config.fileConfig gettext.textdomain gettext.bindtextdomain site.addsitedir calendar.setfirstweekday
    email.charset.add_charset email.charset.add_alias email.charset.add_codec tracemalloc.start tracemalloc.stop
    importlib.reload decimal.setcontext _decimal.setcontext numpy.seterr numpy.seterrcall numpy.set_printoptions
    builtins.exec builtins.eval builtins.input builtins.breakpoint builtins.__import__ mimetypes.add_type
    codecs.register _codecs.register copyreg.pickle csv.register_dialect _csv.register_dialect csv.field_size_limit
    _csv.field_size_limit sqlite3.register_adapter sqlite3.register_converter resource.setrlimit
    threading.settrace threading.setprofile threading.stack_size contextvars.copy_context.run
    pandas.set_option torch.manual_seed torch.set_num_threads torch.set_grad_enabled torch.set_default_dtype
    cv2.setNumThreads cv2.setRNGSeed matplotlib.use ctypes.memset ctypes.memmove
    contextlib.redirect_stdout contextlib.redirect_stderr contextlib.chdir pandas.option_context
""")

# What the names of functions of libraries begin with that change what the process has: always, or where they are given
# nothing that they could change instead.
_REGISTERING: Final = ("register", "unregister", "install", "uninstall")
_SETTING: Final = ("set_", "reset_", "clear_")


def changes_process(name: str) -> bool:
    """Say whether a function of a library, by its dotted name, changes the process, whatever it is given."""
    last = name.rpartition(".")[2]
    return name in PROCESS_STATE or last in _REGISTERING or last.startswith(tuple(f"{x}_" for x in _REGISTERING))


def sets_something(name: str) -> bool:
    """Say whether a function of a library, by its dotted name, changes what it is given first, or the process."""
    return name.rpartition(".")[2].startswith(_SETTING)


# Functions that give the event loop of the thread, or set it: only the main thread has one of its own.
LOOP_OF_THREAD: Final = _words("get_event_loop set_event_loop ensure_future gather")

# Methods of random generators after which a call relies on what it draws.
RESEEDING: Final = _words("seed setstate set_state")

# Keyword arguments that a function writes to.
OUTPUTS: Final = _words("out file fileobj fp output dst")

# Keyword arguments on which it depends what a function does to others.
ORDERS: Final = OUTPUTS | _words("""
    inplace copy random_state seed rng overwrite_a overwrite_ab overwrite_b overwrite_c overwrite_input overwrite_x
    overwrite_y
""")


def overwrites(name: str) -> bool:
    """Say whether a keyword argument may ask a function to write to what else it is given."""
    return name == "inplace" or name.startswith("overwrite_")


def is_order(name: object) -> bool:
    """Say whether what a function does to others depends on whether it is given a keyword argument of this name."""
    return type(name) is str and (name in ORDERS or overwrites(name))


def asks_to_write(name: str) -> bool:
    """Say whether a keyword argument of this name may ask a function to write."""
    return name in OUTPUTS or overwrites(name)


# Methods of tables that may be asked to write in place.
INPLACE_METHODS: Final = _words("""
    bfill clip drop drop_duplicates dropna eval ffill fillna interpolate mask query rename rename_axis replace
    reset_index set_index set_names sort_index sort_values where
""")

# Functions of NumPy in C, and methods of arrays, generators and ufuncs, by the position of their `out`: of methods,
# the receiver is counted.
OUT_POSITIONS: Final = {
    **dict.fromkeys(("argmax", "argmin", "choose", "concatenate", "dot", "round", "around"), 2),
    **dict.fromkeys(("all", "amax", "amin", "any", "max", "min", "ptp"), 2),
    **dict.fromkeys(("clip", "compress", "cumprod", "cumsum", "mean", "prod", "std", "sum", "take", "var"), 3),
    **dict.fromkeys(("random", "standard_normal"), 3),
    **dict.fromkeys(("accumulate", "reduce", "standard_exponential", "standard_gamma"), 4),
    **dict.fromkeys(("reduceat", "trace"), 5),
}

# Functions that draw from a stream of random numbers that the process shares, and that is not found by its type.
SHARED_RANDOM: Final = _words("""
    torch.rand torch.randn torch.randint torch.randperm torch.normal torch.bernoulli torch.multinomial
    torch.rand_like torch.randn_like cupy.random.rand cupy.random.randn cv2.randu cv2.randn
""")

# Types whose objects are others after each call of a method.
_STATEFUL: Final = _words("""
    zlib.Compress zlib.Decompress _bz2.BZ2Compressor _bz2.BZ2Decompressor _lzma.LZMACompressor _lzma.LZMADecompressor
    codecs.IncrementalEncoder codecs.IncrementalDecoder codecs.StreamReader codecs.StreamWriter _csv.writer
    csv.DictWriter _pickle.Pickler pickle._Pickler _pickle.Unpickler pickle._Unpickler PIL.ImageDraw.ImageDraw
    html.parser.HTMLParser xml.etree.ElementTree.XMLParser xml.etree.ElementTree.XMLPullParser
""")


def is_stateful(cls: type) -> bool:
    """Say whether the objects of `cls` are others after each call of a method, like a compressor."""
    return any(type_name(base) in _STATEFUL for base in mro(cls))


# What of `numpy.random` does not draw from the stream that it shares.
_UNSHARED_RANDOM: Final = _words("default_rng get_state")


# Functions, by library and name, that draw from the stream of NumPy or of `random` unless they are given another.
_DRAWS: Final = _words("""
    scipy.differential_evolution scipy.dual_annealing scipy.basinhopping scipy.bootstrap scipy.permutation_test
    scipy.monte_carlo_test scipy.random scipy.rand scipy.random_array scipy.kmeans scipy.kmeans2
    sklearn.train_test_split sklearn.shuffle sklearn.resample networkx.gnp_random_graph networkx.erdos_renyi_graph
    networkx.barabasi_albert_graph networkx.watts_strogatz_graph networkx.random_regular_graph networkx.spring_layout
""")
# Methods that do.
_DRAWING_METHODS: Final = _words("rvs sample")
_SEEDS: Final = _words("random_state seed rng")


def draws(name: str, keywords: Iterable[str]) -> bool:
    """Say whether a function, by its dotted name, draws from a shared stream where these keywords are given."""
    short = f"{name.partition('.')[0]}.{name.rpartition('.')[2]}"
    return (short in _DRAWS or short.startswith("sklearn.make_")) and _SEEDS.isdisjoint(keywords)


def method_draws(name: str, cls: type | None, keywords: Iterable[str]) -> bool:
    """Say whether a method draws from a shared stream; `cls` is the class of its object, where that is known."""
    if cls is not None and species(cls)[0] is Species.RANDOM:  # has one of its own
        return False
    estimate = cls is not None and any(type_name(base) == "scipy.stats._kde.gaussian_kde" for base in mro(cls))
    return (name in _DRAWING_METHODS or (name == "resample" and estimate)) and _SEEDS.isdisjoint(keywords)


def shares_random(name: str) -> bool:
    """Say whether a function draws from such a stream, by its dotted name; NumPy loads some only when they are used."""
    last = name.rpartition(".")[2]
    return name in SHARED_RANDOM or (
        name.startswith("numpy.random.") and (last[:1].islower() or last == "*") and last not in _UNSHARED_RANDOM
    )


# Methods that configure a logger.
LOGGING_SETTINGS: Final = _words("addHandler removeHandler setLevel addFilter removeFilter setFormatter setStream")

# Functions of libraries otherwise fresh whose result may be, or share memory with, an argument.
ALIASING: Final = _words("""
    asarray asanyarray ascontiguousarray asfortranarray asarray_chkfinite ravel reshape squeeze transpose swapaxes
    moveaxis rollaxis expand_dims atleast_1d atleast_2d atleast_3d broadcast_to broadcast_arrays array_split split
    hsplit vsplit dsplit diagonal diag real imag real_if_close flip fliplr flipud rot90 trim_zeros require frombuffer
    as_strided sliding_window_view nditer ndenumerate asmatrix matrix_transpose permute_dims unstack from_dlpack ndarray
    from_numpy as_tensor view_as narrow chunk unbind exif_transpose nan_to_num matrix shares_memory conj conjugate
    Series DataFrame fromarray einsum masked_array masked_where getdata memoryview ChainMap proxy ref cast view
""")

# Modules whose functions return nothing that is part of an argument (`ALIASING` excepted).
FRESH_MODULES: Final = _words("""
    builtins base64 binascii bz2 calendar cmath colorsys csv datetime decimal difflib fractions glob gzip hashlib hmac
    html json logging lzma marshal math ntpath numbers os pathlib pickle platform posix posixpath random re secrets
    shlex shutil socket ssl statistics string struct subprocess sys tempfile textwrap time timeit unicodedata urllib
    uuid warnings xml zipfile zlib zoneinfo _struct _json _csv _hashlib _blake2 _sha2 _sha3 _md5 _sha1 _pickle
    _random _statistics _datetime _socket _ssl _bz2 _lzma _decimal itertools
    numpy scipy pandas sklearn skimage cv2 PIL orjson requests httpx lxml yaml parallel_deco regex numexpr xxhash
    zstandard torch polars pyarrow msgpack ujson cloudpickle rapidfuzz
""")


# --- types -----------------------------------------------------------------------------------------------------


class Species(enum.Enum):
    """The kinds of objects that matter for what may happen to them."""

    SCALAR = "immutable, and so is all inside"
    FROZEN = "immutable, but may hold what is not"
    RESOURCE = "cannot travel to another process"
    RANDOM = "a random generator"
    LOGGER = "its records are brought back"
    CONTEXT = "a context variable"
    NATIVE = "defined in C, or in a known library"
    WATCHFUL = "changes when it is read"
    FOREIGN = "defined in C by code that is not known"
    PLAIN = "defined in Python by the user"


_SCALARS: Final = _words("""
    builtins.int builtins.float builtins.complex builtins.str builtins.bytes builtins.bool builtins.NoneType
    builtins.range builtins.ellipsis builtins.NotImplementedType builtins.slice builtins.code
    datetime.date datetime.time datetime.datetime datetime.timedelta datetime.timezone datetime.tzinfo
    decimal.Decimal fractions.Fraction re.Pattern uuid.UUID pathlib.PurePath pathlib._local.PurePath
    dataclasses._HAS_DEFAULT_FACTORY_CLASS dataclasses._MISSING_TYPE zoneinfo.ZoneInfo enum.Enum
    numpy.generic numpy.dtype ipaddress.IPv4Address ipaddress.IPv6Address
""")
_FROZEN: Final = _words("builtins.tuple builtins.frozenset builtins.mappingproxy types.MappingProxyType")
_RESOURCES: Final = {
    "_thread.lock": "lock",
    "_thread.RLock": "lock",
    "_thread._local": "thread-local",
    "_threading_local.local": "thread-local",
    "threading.Thread": "thread",
    "threading.Event": "event",
    "threading.Condition": "condition",
    "threading.Semaphore": "semaphore",
    "threading.Barrier": "barrier",
    "queue.Queue": "queue",
    "_queue.SimpleQueue": "queue",
    "_io._IOBase": "open file",
    "io.IOBase": "open file",
    "tempfile._TemporaryFileWrapper": "open file",
    "_socket.socket": "socket",
    "_ssl._SSLSocket": "socket",
    "ssl.SSLContext": "TLS context",
    "http.client.HTTPConnection": "connection",
    "sqlite3.Connection": "database connection",
    "sqlite3.Cursor": "database cursor",
    "subprocess.Popen": "child process",
    "mmap.mmap": "memory map",
    "builtins.memoryview": "memory view",
    "builtins.generator": "generator",
    "builtins.coroutine": "coroutine",
    "builtins.async_generator": "generator",
    "builtins.frame": "frame",
    "builtins.traceback": "traceback",
    "concurrent.futures._base.Future": "future",
    "concurrent.futures._base.Executor": "executor",
    "_asyncio.Future": "future",
    "asyncio.locks.Lock": "lock",
    "asyncio.queues.Queue": "queue",
    "asyncio.events.AbstractEventLoop": "event loop",
    "multiprocessing.synchronize.SemLock": "lock",
    "multiprocessing.queues.Queue": "queue",
    "multiprocessing.connection._ConnectionBase": "pipe",
    "multiprocessing.pool.Pool": "pool",
    "selectors.BaseSelector": "selector",
    "weakref.ReferenceType": "weak reference",
    "weakref.WeakKeyDictionary": "weak dictionary",
    "weakref.WeakValueDictionary": "weak dictionary",
    "weakref.WeakSet": "weak set",
}
#: What an open file is, and a stream in memory; and the methods of those that leave it where it is.
STREAM: Final = Species.RESOURCE, "open file"
STREAM_LOOKS: Final = _words("getvalue getbuffer tell readable writable seekable isatty fileno __enter__")
#: Functions that copy what they are given, and methods that only keep it or look for it.
COPIES: Final = _words(
    "copy.copy copy.deepcopy builtins.repr builtins.str builtins.bool builtins.hasattr repr str bool"
)
KEEPS: Final = ATOMIC_METHODS | _words("get setdefault index count remove __contains__ __getitem__ __setitem__")
# But for its seeds: of these, only `spawn` changes one.
_RANDOM_OF_NUMPY: Final = ("numpy.random._generator.", "numpy.random.bit_generator.")
_RANDOMS: Final = _words("random.Random _random.Random numpy.random.mtrand.RandomState")
_COMPILED: Final = _words("method_descriptor cython_function_or_method builtin_function_or_method nanobind_method")
_CONTEXTS: Final = _words("_contextvars.ContextVar builtins.ContextVar _contextvars.Context")

#: By the identity of the class, which they keep: a metaclass may define `__hash__`.
_species: dict[int, tuple[type, tuple[Species, str]]] = {}
_SPECIES_MAX: Final = 1024


def species(cls: type) -> tuple[Species, str]:
    """Return the species of the instances of `cls` and a word for it."""
    known = _species.get(id(cls))
    if known is None:
        known = cls, _classify(cls)
        if len(_species) >= _SPECIES_MAX:
            _species.clear()
        _species[id(cls)] = known
    return known[1]


def is_used_up(cls: type) -> bool:
    """Say whether who is given such a thing leaves it elsewhere: a stream, an iterator, a random generator."""
    found = species(cls)
    return found == STREAM or found == (Species.RESOURCE, "iterator") or found[0] is Species.RANDOM


def _classify(cls: type) -> tuple[Species, str]:
    names = [type_name(base) for base in mro(cls)]
    if names[0] == "random.SystemRandom":  # it has no state: the numbers are the operating system's
        return Species.SCALAR, "value"
    for name in names:
        if name in _RESOURCES:
            return Species.RESOURCE, _RESOURCES[name]
        if name in _RANDOMS or (name.startswith(_RANDOM_OF_NUMPY) and not name.endswith("SeedSequence")):
            return Species.RANDOM, "random generator"
        if name in ("logging.Logger", "logging.LoggerAdapter"):
            return Species.LOGGER, "logger"
        if name in _CONTEXTS:
            return Species.CONTEXT, "context variable"
    if is_iterator_type(cls):
        return Species.RESOURCE, "iterator"
    own = names[0]
    if own == "builtins.object":  # a sentinel
        return Species.SCALAR, "value"
    if "numpy.void" in names:  # a record of an array, which it may write to
        return Species.NATIVE, "record"
    if not _SCALARS.isdisjoint(names):
        # A subclass in Python may carry attributes; members of an enumeration that only names them are constants.
        if own in _SCALARS or is_library(own) or ("enum.Enum" in names and _only_names(cls)):
            return Species.SCALAR, "value"
        return Species.PLAIN, "object"
    if own in _FROZEN:
        return Species.FROZEN, "value"
    if "collections.defaultdict" in names or "collections.ChainMap" in names[1:]:
        return Species.WATCHFUL, "defaultdict"
    if is_library(own):
        return Species.NATIVE, "object"
    return (Species.FOREIGN if _compiled(cls) else Species.PLAIN), "object"


def _only_names(cls: type) -> bool:
    """Say whether an enumeration only names constants."""
    members = namespace(cls).get("_member_map_", {})
    values = [attribute(member, "_value_") for member in members.values()] if is_a(members, dict) else []
    return not _does_something(cls) and all(map(_is_constant, values))


def _is_constant(value: object) -> bool:
    if type(value) in (tuple, frozenset):
        return all(map(_is_constant, value))  # type: ignore[call-overload]
    return species(type(value))[0] is Species.SCALAR


def _does_something(cls: type) -> bool:
    """Say whether `cls` or a base has methods or properties in Python of the user's."""
    for member in [member for base in mro(cls) for member in namespace(base).values()]:
        wraps = is_a(member, staticmethod) or is_a(member, classmethod)
        function = member.__func__ if wraps else member.fget if is_a(member, property) else member  # type: ignore[attr-defined]
        if is_a(function, types.FunctionType) and own_function(function):
            return True
    return False


def _compiled(cls: type) -> bool:
    """Say whether methods of `cls` are written in C or Cython by somebody whom no table knows."""
    return any(
        not is_library(type_name(base)) and any(type(value).__name__ in _COMPILED for value in namespace(base).values())
        for base in mro(cls)
    )
