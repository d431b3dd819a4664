"""Runs a program to its end and says what it took."""
import dataclasses, os, pathlib, platform, subprocess, time

# What both programs are given, and PEFT's starting adapter is made with.
LR, WEIGHT_DECAY, MAX_GRAD_NORM = 2e-4, 0.0, 1.0


@dataclasses.dataclass(frozen=True)
class Case:
    """A model and rows to train it on; one optimiser step is all rows once."""
    name: str
    model: pathlib.Path
    rows: pathlib.Path
    loss_on: str  # all, response
    kind: str  # full, mixture, other: which claims are about it
    counts: list  # (tokens, targets) of each row
    work: pathlib.Path
    start: pathlib.Path  # the adapter that all begin with

    def tokens(self):
        return sum(tokens for tokens, _ in self.counts)

    def targets(self):
        return sum(targets for _, targets in self.counts)

    def longest(self):
        return max(tokens for tokens, _ in self.counts)


@dataclasses.dataclass
class Run:
    """What one run of one program came to."""
    step_s: float  # mean of the timed steps
    tokens_per_step: float
    losses: list
    grad_norms: list
    peak_mib: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    load: float = 0.0  # of the machine before the run


class Failed(Exception):
    """A program ended with an error; the text says which, and its last words."""


def measured(command, log, env):
    """Runs `command`: the peak of its resident memory in MiB, seconds on the clock, seconds of processor time, as the
    kernel counted them, and the machine's load before."""
    load = os.getloadavg()[0]
    with open(log, "wb") as f:
        start = time.monotonic()
        child = subprocess.Popen([str(c) for c in command], stdout=f, stderr=subprocess.STDOUT, env=env)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        tail = pathlib.Path(log).read_text(errors="replace")[-2000:]
        raise Failed(f"{' '.join(map(str, command))}\nended with {child.returncode}:\n{tail}")
    per_mib = 1024 if platform.system() == "Linux" else 1024 * 1024  # kilobytes there, bytes on macOS
    return {"peak_mib": usage.ru_maxrss / per_mib, "wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime, "load": load}


def environment(threads, preload=None):
    """The same thread count for every library that reads one."""
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"]
    env = os.environ | {n: str(threads) for n in names} | {"TOKENIZERS_PARALLELISM": "false", "PYTHONDONTWRITEBYTECODE": "1"}
    return env | {"LD_PRELOAD": str(preload)} if preload else env


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(l.partition(":")[2].strip() for l in lines if l.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
