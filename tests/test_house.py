"""The rules of the house (docs/architecture.md), read off the source with `ast`; each rule is first shown to catch an offender."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "densnet"

FLOORS = {
    "errors": 0, "progress": 0, "threads": 0,
    "files": 1, "units": 1, "markup": 1, "settings": 1, "symmetry": 1, "isotopes": 1,
    "molecules": 2, "density": 3, "frames": 3, "properties": 4,
    "reference": 5, "dataset": 5, "model": 5, "simulation": 5, "observables": 5,
    "training": 6, "spectra": 6, "artefacts": 7, "interfaces": 7, "report": 8, "workflow": 9, "cli": 10, "__init__": 10,
    "__main__": 11,
}  # fmt: skip
NOUNS = {name for name, floor in FLOORS.items() if floor <= 4}
JOINERS = {"artefacts", "workflow", "cli", "__init__", "__main__"}
ARROWS = {
    "training": {"model", "dataset"},
    "spectra": {"observables"},
    "report": {"artefacts", "spectra", "observables", "model"},
    "interfaces": {"spectra", "observables", "model", "reference"},
}
"""Which stages a stage may see besides the nouns below; artefacts, runs (workflow), verbs (cli) and the public face (__init__) see
every stage, other stages see none."""

DOORS = {
    "pyscf": ("reference/", "interfaces/"),
    "matplotlib": ("report/",),
    "h5py": ("dataset/store.py", "dataset/responses.py", "simulation/h5md.py"),
    "tblite": ("reference/", "interfaces/"),
    "dftd4": ("reference/",),
    "ase": ("reference/", "interfaces/"),
    "rdkit": ("frames/smiles.py",),
    "dask": ("reference/clusters.py",),
    "distributed": ("reference/clusters.py",),
    "dask_jobqueue": ("reference/clusters.py",),
    "parsl": ("reference/clusters.py",),
    "jcamp": (),
    "typer": ("cli/",),
    "rich": ("cli/",),
    "pickle": (),
    "e3nn": (),
}
"""Third parties and the only files that may import them."""


@dataclass(frozen=True)
class Source:
    """One file: `name` relative to src/densnet, its text and syntax tree."""

    name: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return _parse(self.text)

    @property
    def package(self) -> str:
        return self.name.split("/")[0].removesuffix(".py")

    def walk(self, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
        return (node for node in ast.walk(self.tree) if isinstance(node, kinds))

    def functions(self) -> Iterator[ast.FunctionDef]:
        return self.walk(ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


def _docstring_lines(node: ast.AST) -> int:
    first = node.body[0]
    return first.end_lineno - first.lineno + 1 if ast.get_docstring(node, clean=False) is not None else 0


def _callee(call: ast.Call) -> str:
    return ast.unparse(call.func)


def file_length(source: Source) -> Iterator[str]:
    lines = source.text.count("\n")
    if lines > 400:
        yield f"{lines} lines, at most 400"


def function_length(source: Source) -> Iterator[str]:
    for f in source.functions():
        lines = f.end_lineno - f.lineno + 1 - _docstring_lines(f)
        if lines > 60:
            yield f"{f.name}: {lines} lines, at most 60"


def parameters(source: Source) -> Iterator[str]:
    for f in source.functions():
        names = [a.arg for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs) if a.arg not in ("self", "cls")]
        most = 12 if "Annotated" in ast.unparse(f.args) else 7  # options of a command are read one by one
        if len(names) > most:
            yield f"{f.name}: {len(names)} parameters, at most {most}"


def booleans_keyword_only(source: Source) -> Iterator[str]:
    for f in source.functions():
        positional = [*f.args.posonlyargs, *f.args.args]
        defaults = [None] * (len(positional) - len(f.args.defaults)) + f.args.defaults
        for argument, default in zip(positional, defaults):
            annotated = argument.annotation is not None and ast.unparse(argument.annotation) == "bool"
            if annotated or (isinstance(default, ast.Constant) and isinstance(default.value, bool)):
                yield f"{f.name}: boolean `{argument.arg}` must be keyword-only"


def module_names(source: Source) -> Iterator[str]:
    forbidden = {"utils", "util", "tools", "misc", "helpers", "helper", "common"}
    for part in Path(source.name).with_suffix("").parts:
        if part.lstrip("_") in forbidden:
            yield f"`{part}` says nothing about what is inside"


def no_star_import(source: Source) -> Iterator[str]:
    for node in source.walk(ast.ImportFrom):
        if any(alias.name == "*" for alias in node.names):
            yield f"line {node.lineno}: import *"


def no_passed_kwargs(source: Source) -> Iterator[str]:
    for f in source.functions():
        name = f.args.kwarg and f.args.kwarg.arg
        for call in (n for n in ast.walk(f) if isinstance(n, ast.Call)):
            passed = any(k.arg is None and isinstance(k.value, ast.Name) and k.value.id == name for k in call.keywords)
            if name and passed and _callee(call) != "replace":  # dataclasses.replace checks the names itself
                yield f"line {call.lineno}: **{name} passed through"


def no_hasattr(source: Source) -> Iterator[str]:
    for call in source.walk(ast.Call):
        if _callee(call) == "hasattr":
            yield f"line {call.lineno}: hasattr"


@cache
def _own_classes() -> frozenset[str]:
    return frozenset(c.name for s in sources() for c in s.walk(ast.ClassDef))


def no_isinstance_ladder(source: Source) -> Iterator[str]:
    own = _own_classes() | {c.name for c in source.walk(ast.ClassDef)}
    for f in source.functions():
        calls = [n for n in ast.walk(f) if isinstance(n, ast.Call) and _callee(n) == "isinstance"]
        ladder = [c for c in calls if own & {n.id for n in ast.walk(c.args[1]) if isinstance(n, ast.Name)}]
        if len(ladder) > 1:
            yield f"{f.name}: a ladder of isinstance over our own classes"


def nothing_at_import(source: Source) -> Iterator[str]:
    effects = re.compile(r"^(print|open|exec|eval)$|\.(read_text|read_bytes|mkdir|manual_seed|set_\w+|seterr|filterwarnings|load|use)$")
    for node in source.tree.body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.AsyncFunctionDef)
        typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        main = isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
        if not (docstring or typing or main or isinstance(node, allowed)):
            yield f"line {node.lineno}: `{ast.unparse(node).splitlines()[0]}` happens at import"
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            for call in (n for n in ast.walk(node.value) if isinstance(n, ast.Call)):
                if effects.search(_callee(call)) and not any(isinstance(n, ast.Lambda) for n in ast.walk(node.value)):
                    yield f"line {call.lineno}: `{_callee(call)}` is called at import"


def no_dead_code(source: Source) -> Iterator[str]:
    lines = source.text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type != tokenize.COMMENT or not lines[token.start[0] - 1].lstrip().startswith("#"):
            continue
        body = token.string.lstrip("#").strip()
        try:
            statements = ast.parse(body.removesuffix(":") + (": pass" if body.endswith(":") else "")).body
        except SyntaxError:
            continue
        for statement in statements:
            bare_call = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
            if bare_call or not isinstance(statement, ast.Expr | ast.AnnAssign):
                yield f"line {token.start[0]}: commented-out code `{body}`"


def docstrings(source: Source) -> Iterator[str]:
    if ast.get_docstring(source.tree) is None and source.text.strip():
        yield "no module docstring"
    for node in source.tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if ast.get_docstring(node) is None:
                yield f"`{node.name}` has no docstring"
            for method in (n for n in node.body if isinstance(node, ast.ClassDef) and isinstance(n, ast.FunctionDef)):
                inherited = method.name == "forward" or any("validator" in ast.unparse(d) for d in method.decorator_list)
                if not method.name.startswith("_") and not inherited and ast.get_docstring(method) is None:
                    yield f"`{node.name}.{method.name}` has no docstring"


def no_unsafe_files(source: Source) -> Iterator[str]:
    for call in source.walk(ast.Call):
        pickled = any(k.arg == "allow_pickle" and ast.unparse(k.value) == "True" for k in call.keywords)
        if pickled or _callee(call) in ("torch.save", "torch.load"):
            yield f"line {call.lineno}: `{_callee(call)}` may execute what it reads; use safetensors, HDF5, JSON or npz"


def one_base_of_errors(source: Source) -> Iterator[str]:
    for node in source.walk(ast.ClassDef):
        system = {ast.unparse(base) for base in node.bases} & {"ValueError", "OSError", "RuntimeError", "KeyError", "TypeError"}
        if system:
            yield f"`{node.name}` is a {system.pop()}; what is told in one line is a DensnetError"


def one_writer(source: Source) -> Iterator[str]:
    low = re.compile(r"^(os\.(replace|fsync)|fcntl\.flock|hashlib\.\w+)$|\.(write_text|write_bytes)$")
    for call in source.walk(ast.Call):
        if source.name != "files.py" and low.search(_callee(call)) and not _callee(call).startswith("files."):
            yield f"line {call.lineno}: `{_callee(call)}`; files.py writes, locks and hashes"


def no_setting_of_the_process(source: Source) -> Iterator[str]:
    changing = re.compile(r"^torch\.(set_num_threads|set_default_\w+|use_deterministic_algorithms|set_float32_\w+)$|^np\.random\.seed$")
    for node in source.walk(ast.Attribute):
        if source.name != "threads.py" and changing.search(ast.unparse(node)):
            yield f"line {node.lineno}: `{ast.unparse(node)}` is the whole process's; threads.py changes it for a while"


def _imports(source: Source) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of everything imported, wherever in the file."""
    for node in source.walk(ast.Import, ast.ImportFrom):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif node.module == "densnet":
            yield from ((node.lineno, f"densnet.{alias.name}") for alias in node.names)
        elif node.module:
            yield node.lineno, node.module


def third_parties_at_their_door(source: Source) -> Iterator[str]:
    for line, module in _imports(source):
        doors = DOORS.get(module.split(".")[0])
        if doors is not None and not source.name.startswith(doors):
            yield f"line {line}: {module} may be imported only in {', '.join(doors) or 'no file'}"


def floors(source: Source) -> Iterator[str]:
    own = source.package
    for line, module in _imports(source):
        if not module.startswith("densnet.") or module == "densnet.__version__":
            continue
        other = module.split(".")[1]
        if other not in FLOORS:
            yield f"line {line}: {module} comes from densnet/__init__"
            continue
        downward = other == own or other in NOUNS and FLOORS[other] < FLOORS.get(own, 10)
        joins = own in JOINERS and FLOORS[other] < FLOORS[own]
        if not (downward or joins or other in ARROWS.get(own, ())):
            yield f"line {line}: {own} (floor {FLOORS.get(own)}) may not import {module} (floor {FLOORS[other]})"


OFFENDERS: list[tuple[Callable[[Source], Iterator[str]], str, str]] = [
    (file_length, "model/x.py", "x = 1\n" * 401),
    (function_length, "model/x.py", "def f():\n" + "    x = 1\n" * 61),
    (parameters, "model/x.py", "def f(a, b, c, d, e, f, g, h): pass\n"),
    (booleans_keyword_only, "model/x.py", "def f(a, fast=True): pass\n"),
    (booleans_keyword_only, "model/x.py", "def f(a: bool): pass\n"),
    (module_names, "model/utils.py", ""),
    (no_star_import, "model/x.py", "from torch import *\n"),
    (no_passed_kwargs, "model/x.py", "def f(**kw): g(**kw)\n"),
    (no_hasattr, "model/x.py", "hasattr(x, 'y')\n"),
    (no_isinstance_ladder, "model/x.py", "def f(x):\n    return isinstance(x, Molecules) or isinstance(x, Properties)\n"),
    (nothing_at_import, "model/x.py", "print('hello')\n"),
    (nothing_at_import, "model/x.py", "x = torch.manual_seed(1)\n"),
    (nothing_at_import, "model/x.py", "for i in y: pass\n"),
    (no_dead_code, "model/x.py", "# x = old(y)\n"),
    (no_dead_code, "model/x.py", "# for i in range(3):\n"),
    (docstrings, "model/x.py", '"""Doc."""\ndef f(): pass\n'),
    (docstrings, "model/x.py", '"""Doc."""\nclass C:\n    """Doc."""\n    def f(self): pass\n'),
    (no_unsafe_files, "model/x.py", "torch.load('x')\n"),
    (no_setting_of_the_process, "model/x.py", "def f():\n    torch.set_num_threads(1)\n"),
    (no_setting_of_the_process, "model/x.py", "pool = Pool(initializer=torch.set_num_threads)\n"),
    (one_base_of_errors, "model/x.py", "class E(ValueError): pass\n"),
    (one_writer, "model/x.py", "os.replace(a, b)\n"),
    (one_writer, "model/x.py", "path.write_text(x)\n"),
    (one_writer, "model/x.py", "hashlib.sha256(x)\n"),
    (third_parties_at_their_door, "model/x.py", "import pyscf.gto\n"),
    (floors, "model/x.py", "from densnet.training import fit\n"),
    (floors, "simulation/x.py", "from densnet.model.predictor import load\n"),
    (floors, "molecules.py", "from densnet.properties import Properties\n"),
    (floors, "workflow/x.py", "from densnet.cli.console import say\n"),
    (floors, "density/x.py", "def f():\n    from densnet.reference.scf import label\n"),
]
RULES = list(dict.fromkeys(rule for rule, _, _ in OFFENDERS))


@cache
def sources() -> tuple[Source, ...]:
    """Every Python file of the package."""
    return tuple(Source(str(p.relative_to(PACKAGE)), p.read_text(encoding="utf-8")) for p in sorted(PACKAGE.rglob("*.py")))


@pytest.mark.parametrize(("rule", "name", "text"), OFFENDERS, ids=lambda x: getattr(x, "__name__", None) or "")
def test_rule_catches_an_offender(rule, name, text):
    assert list(rule(Source(name, text)))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule):
    problems = [f"{source.name}: {problem}" for source in sources() for problem in rule(source)]
    assert not problems, "\n" + "\n".join(problems)


def test_tests_and_examples_are_short_too():
    files = [p for folder in ("tests", "examples", "benchmarks") for p in (ROOT / folder).rglob("*.py")]
    assert not [f"{p.name}: {problem}" for p in files for problem in file_length(Source(p.name, p.read_text()))]


def test_nothing_but_its_own_tests_imports_the_command_line():
    """Also no benchmark, no label script and no page: what they need is in `workflow`."""
    sources = [p for folder in ("benchmarks", "labels", "tests", "examples") for p in (ROOT / folder).rglob("*.py")]
    imports = re.compile(r"^\s*(from|import) densnet\.cli", re.M)
    found = [p for p in [*sources, *(ROOT / "docs").glob("*.md"), ROOT / "README.md"] if imports.search(p.read_text(encoding="utf-8"))]
    assert not [p for p in found if not p.is_relative_to(ROOT / "tests" / "cli")]


def test_imports_close_no_circle():
    names = {"densnet." + s.name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): s for s in sources()}
    arrows = {}
    for name, source in names.items():
        modules = set()
        for node in source.tree.body:  # an import inside a function closes no circle at start-up
            for _, module in _imports(Source(source.name, ast.unparse(node))):
                modules |= {module} & names.keys()
            if isinstance(node, ast.ImportFrom) and node.module:
                modules |= {f"{node.module}.{a.name}" for a in node.names} & names.keys()
        arrows[name] = modules - {name}
    done: set[str] = set()
    while free := {n for n in arrows.keys() - done if arrows[n] <= done}:
        done |= free
    assert not arrows.keys() - done, f"a circle among {sorted(arrows.keys() - done)}"


def test_importing_the_package_is_silent_and_light():
    code = "import sys, densnet.cli.main; print(sorted({'torch', 'pyscf', 'matplotlib', 'h5py', 'scipy'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def _readme_commands() -> list[str]:
    blocks = re.findall(r"```(?:bash|console|sh)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    lines = [line.split("#")[0].strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def test_readme_commands_exist():
    verbs = set(re.findall(r"^densnet ([a-z]+)", "\n".join(_readme_commands()), re.M))
    assert {"sample", "label", "train", "evaluate", "simulate", "spectrum", "report", "run"} <= verbs
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {c.split()[1] for c in _readme_commands() if c.startswith("make ")} <= targets
    for verb in sorted(verbs):
        done = subprocess.run([sys.executable, "-m", "densnet.cli", verb, "--help"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"densnet {verb} --help: {done.stderr}"


def test_readme_cheap_commands_run():
    cheap = [c for c in _readme_commands() if c.startswith("densnet ") and c.endswith("--help")]
    assert "densnet --help" in cheap
    for command in cheap:
        done = subprocess.run([sys.executable, "-m", "densnet.cli", *command.split()[1:]], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and "Usage" in done.stdout, f"{command}: {done.stderr}"
