"""With --horovod a job's scripts import ringsync under Horovod's name, and nobody else does."""

import inspect
import os
import sys
from pathlib import Path

import pytest

from ringsync.compat.horovod import runner
from ringsync.compat.horovod.common import util
from ringsync.compat.horovod.runner.util.threads import in_thread
from ringsync.errors import ConfigError

TORCH_S = 100.0  # two ranks load it and its compiler, 4 s of two free cores, on cores with others

WHERE = "import horovod; print(horovod.__file__)\n"


def alias_of(launcher, *words, env=None, **options):
    # `python` is the one that runs the tests.
    own = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = launcher.run("-np", "1", "--horovod", *words, env=own | (env or {}), **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def theirs(launcher):
    """A real Horovod, as far as an import can tell: beside the script and on PYTHONPATH."""
    for folder in (launcher.directory, launcher.directory / "elsewhere"):
        (folder / "horovod").mkdir(parents=True)
        (folder / "horovod" / "__init__.py").write_text("raise RuntimeError('not this one')\n")
    launcher.script(WHERE)
    return {"PYTHONPATH": str(launcher.directory / "elsewhere")}


@pytest.mark.parametrize(
    "command",
    [("script.py",), ("-m", "script"), ("python", "script.py"), ("python", "-m", "script")],
    ids=" ".join,
)
def test_it_goes_before_any_other_horovod_however_the_script_is_started(launcher, theirs, command):
    assert alias_of(launcher, *command, env=theirs) == runner.__file__.replace("/runner", "")


def test_without_the_option_the_name_is_nobody_s_or_the_real_one_s(launcher, theirs):
    done = launcher.run("-np", "1", "script.py", env=theirs)
    assert "RuntimeError: not this one" in done.stderr
    found = launcher.script(
        "import importlib.util as u; s = u.find_spec('horovod'); print(s and s.origin)", "find.py"
    )
    (launcher.directory / "horovod" / "__init__.py").unlink()
    (launcher.directory / "horovod").rmdir()
    assert "ringsync" not in launcher.run("-np", "1", found).stdout


def test_a_process_that_a_rank_starts_has_the_name_too(launcher):
    script = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WHERE!r}], check=True)"
    )
    assert alias_of(launcher, launcher.script(script)) == runner.__file__.replace("/runner", "")


def test_the_user_s_path_stays(launcher):
    (launcher.directory / "mine").mkdir()
    (launcher.directory / "mine" / "neighbour.py").write_text("print('found')")
    script = launcher.script("import horovod, neighbour")
    path = str(launcher.directory / "mine")
    assert alias_of(launcher, script, env={"PYTHONPATH": path}) == "found"


def test_nothing_else_comes_with_the_name():
    found = {path.name for path in Path(runner.__file__).parents[2].iterdir()} - {"__pycache__"}
    assert found == {"__init__.py", "horovod"}


ABSENT = """
    import importlib
    for part in ("tensorflow", "tensorflow.keras", "keras", "mxnet", "spark", "ray"):
        try:
            importlib.import_module(f"horovod.{part}")
        except ImportError as error:
            print(error)
"""


def test_what_ringsync_has_not_is_one_error_that_says_what_it_has(launcher):
    lines = alias_of(launcher, launcher.script(ABSENT)).splitlines()
    assert len(lines) == 6
    for part, line in zip(("tensorflow", "tensorflow", "keras"), lines, strict=False):
        assert line.startswith(f"[horovod] horovod.{part} is not there; what ringsyncrun --horovod")
    assert all("ringsync." in line for line in lines)


WITHOUT_TORCH = """
    import sys
    sys.modules["torch"] = None
    import horovod.torch
"""


def test_without_torch_the_rank_ends_with_one_import_error(launcher):
    done = launcher.run("-np", "1", "--horovod", launcher.script(WITHOUT_TORCH))
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("ImportError: ")]
    assert len(errors) == 1
    assert "pip install torch" in errors[0]


TRAIN = """
    import horovod.torch as hvd, horovod, torch
    import horovod.torch.elastic, horovod.torch.elastic.sampler, horovod.torch.elastic.state
    from horovod.common.basics import HorovodBasics
    from horovod.common.elastic import ObjectState, State
    from horovod.common.exceptions import HorovodInternalError, HostsUpdatedInterrupt
    from horovod.common.process_sets import ProcessSet, global_process_set
    from horovod.runner.common.util.env import get_env_rank_and_size
    from horovod.torch.compression import Compression
    from horovod.torch.functions import broadcast_object
    from horovod.torch.mpi_ops import handle_average_backwards_compatibility, synchronize
    from horovod.torch.optimizer import DistributedOptimizer
    from horovod.torch.sync_batch_norm import SyncBatchNorm
    import ringsync.torch

    names = [name for name in ringsync.torch.__all__ if name not in ("elastic", "__version__")]
    assert len(names) > 60
    assert all(getattr(hvd, name) is getattr(ringsync.torch, name) for name in names)
    assert hvd.elastic.TorchState is ringsync.torch.elastic.TorchState
    assert hvd.elastic.state.TorchState is ringsync.torch.elastic.TorchState
    assert (Compression, synchronize) == (hvd.Compression, hvd.synchronize)
    assert HorovodInternalError is hvd.HorovodInternalError
    assert ProcessSet is hvd.ProcessSet and global_process_set is hvd.global_process_set
    assert handle_average_backwards_compatibility(None, False) == hvd.Sum
    hvd.init()
    assert get_env_rank_and_size() == (hvd.rank(), hvd.size()) == (hvd.mpi_ops.rank(), 2)
    assert hvd.mpi_ops._basics._get_process_set_ids_and_ranks() == {0: [0, 1]}
    assert HorovodBasics(__file__, "mpi_lib_v2").is_homogeneous()
    assert broadcast_object(hvd.rank(), root_rank=1) == 1
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer = hvd.DistributedOptimizer(optimizer, model.named_parameters())
    hvd.broadcast_parameters(model.state_dict(), root_rank=0)
    model(torch.full((3, 2), float(hvd.rank()))).sum().backward()
    optimizer.step()
    print(model.weight.grad.tolist())
"""


def test_horovod_torch_is_ringsync_torch_and_trains(launcher):
    done = launcher.run("-np", "2", "--horovod", launcher.script(TRAIN), limit_s=TORCH_S)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [f"[{rank}] [[1.5, 1.5]]" for rank in (0, 1)]


FRESH = """
    import sys
    import horovod.torch as hvd
    for name in ("compression", "functions", "optimizer", "sync_batch_norm", "mpi_ops", "elastic"):
        assert getattr(hvd, name) is sys.modules[f"horovod.torch.{name}"], name
    first = hvd.elastic
    import horovod.torch.elastic
    assert horovod.torch.elastic is first
"""
FRESH_ELASTIC = """
    import horovod.torch.elastic
    elastic = horovod.torch.elastic
    assert elastic.state.TorchState is elastic.TorchState
    assert elastic.sampler.ElasticSampler is elastic.ElasticSampler
"""


@pytest.mark.parametrize("script", [FRESH, FRESH_ELASTIC], ids=["torch", "elastic"])
def test_the_modules_of_a_package_are_its_attributes_without_further_imports(launcher, script):
    assert alias_of(launcher, launcher.script(script), limit_s=TORCH_S) == ""


RUN = """
    import horovod

    def place():
        import horovod
        from horovod.runner.common.util.env import get_env_rank_and_size
        return get_env_rank_and_size()

    by_position = (place, (), None, 2, None, None, None, None, None, "localhost:2")
    print(horovod.run(*by_position, use_gloo=True, use_mpi=False, min_np=None))
"""


def test_horovod_run_starts_ranks_that_have_the_name_as_well(launcher):
    assert alias_of(launcher, launcher.script(RUN)) == "[(0, 2), (1, 2)]"


# Horovod's own, in horovod/runner/__init__.py.
RUN_PARAMETERS = {
    "func": inspect.Parameter.empty, "args": (), "kwargs": None, "num_proc": 1,
    "min_num_proc": None, "max_num_proc": None, "slots": None, "reset_limit": None,
    "cooldown_range": None, "hosts": None, "hostfile": None, "host_discovery_script": None,
    "start_timeout": None, "ssh_port": None, "ssh_identity_file": None, "disable_cache": None,
    "output_filename": None, "verbose": None, "use_gloo": None, "use_mpi": None, "mpi_args": None,
    "network_interface": None, "network_interfaces": None, "executable": None, "np": None,
    "min_np": None, "max_np": None,
}  # fmt: skip


def test_horovod_run_takes_horovods_arguments_in_horovods_order():
    parameters = inspect.signature(runner.run).parameters.values()
    assert [(one.name, one.default) for one in parameters] == [*RUN_PARAMETERS.items()]
    assert {one.kind for one in parameters} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}


# Those that are honoured, or ask for what is so.
HONOURED = {
    "func", "args", "kwargs", "num_proc", "np", "hosts", "start_timeout", "output_filename",
    "verbose", "use_gloo", "disable_cache",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in RUN_PARAMETERS if name not in HONOURED])
def test_each_argument_that_cannot_be_honoured_is_refused_unless_it_is_the_default(name):
    words = rf"^\[horovod\] run: {name}=0 cannot be honoured: [^.]+\. Leave it out\.$"
    with pytest.raises(ConfigError, match=words):
        runner.run(print, **{name: 0})


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"min_np": 1}, "min_np=1 cannot be honoured: the number of ranks does not change"),
        ({"ssh_port": 22}, "ssh_port=22 cannot be honoured: all ranks are on this host"),
        ({"use_mpi": True}, "use_mpi=True cannot be honoured: ranks talk through ringsync's own"),
        ({"hosts": "far:2"}, "hosts='far:2'; all ranks are on this host"),
        ({"hosts": "localhost:1", "np": 2}, "2 ranks are more than the 1 slots"),
        ({"num_proc": 3, "np": 2}, "num_proc=3 and np=2 are one argument"),
        ({"hosts": "localhost:1", "num_proc": None, "np": 2}, "2 ranks are more than the 1 slots"),
    ],
    ids=str,
)
def test_what_horovod_run_cannot_honour_is_one_error(arguments, part):
    with pytest.raises(ConfigError) as refusal:
        runner.run(print, **arguments)
    assert str(refusal.value).startswith("[horovod] run: ")
    assert part in str(refusal.value)


def test_horovod_run_wants_a_number_of_ranks():
    with pytest.raises(ConfigError, match="np=None is no number of ranks"):
        runner.run(print, num_proc=None, hosts="localhost:1")


def test_an_argument_that_horovod_run_never_had_is_a_type_error():
    with pytest.raises(TypeError, match="unexpected keyword argument 'nmp'"):
        runner.run(print, nmp=2)


def test_variables_are_set_for_a_while(monkeypatch):
    monkeypatch.setenv("RINGSYNC_TEST_OLD", "1")
    with util.env(RINGSYNC_TEST_OLD="2", RINGSYNC_TEST_NEW="3", RINGSYNC_TEST_NONE=None):
        assert (os.environ["RINGSYNC_TEST_OLD"], os.environ["RINGSYNC_TEST_NEW"]) == ("2", "3")
    assert os.environ["RINGSYNC_TEST_OLD"] == "1"
    assert not {"RINGSYNC_TEST_NEW", "RINGSYNC_TEST_NONE"} & os.environ.keys()


def test_questions_about_the_build_are_answered_for_torch_alone():
    assert util.gloo_built()
    assert not util.mpi_built()
    assert not util.extension_available("tensorflow")
    with pytest.raises(ImportError, match=r"\[horovod\] horovod.mxnet is not there"):
        util.check_extension("horovod.mxnet", "HOROVOD_WITH_MXNET", __file__, "mpi_lib")


def test_a_list_is_cut_into_parts_of_nearly_equal_length():
    assert util.split_list(list(range(7)), 3) == [[0, 1, 2], [3, 4], [5, 6]]


def test_a_silent_thread_keeps_its_exception_to_itself():
    done = []
    in_thread(done.append, (1,)).join()
    in_thread(lambda: 1 / 0, silent=True).join()
    assert done == [1]
    with pytest.raises(ValueError, match="is no tuple"):
        in_thread(print, "text")
