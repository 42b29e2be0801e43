"""The kinds of faults: what each does, how it is healed, and by what words a red run has to name it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass

import psutil
from pymongo.errors import PyMongoError

from mongo_backup.errors import TransientError
from sandbox.faults.agents import alive
from sandbox.faults.detour import CLOCK
from sandbox.faults.scene import Scene
from sandbox.waiting import wait_until


@dataclass(frozen=True)
class Fault:
    """One kind.

    :param reason: a pattern: what a red run must say; `{hosts}` are the addresses of what was hit.
    :param limit_seconds: the step's time limit: short where only that ends a step that hangs.
    :param separate: the step's task is a process of its own.
    :param before: put before the agent's command line.
    :param must_fail: no try may succeed: a green run is a lie.
    :param must_succeed: it harms nothing: a red run is a fault of ours.
    """

    name: str
    act: Callable[[Scene], None]
    reason: str
    limit_seconds: float = 90.0
    separate: bool = False
    before: tuple[str, ...] = ()
    must_fail: bool = False
    must_succeed: bool = False


LIMIT = r"time limit"
SERVER = r"{hosts}|cannot be reached|[Pp]rimary"
STORE = r"store|restic"


def _agent(number: signal.Signals) -> Callable[[Scene], None]:
    return lambda scene: scene.signal(scene.agent(), number)


def _strike_restic(strike: Callable[[psutil.Process], None], scene: Scene) -> None:
    """At the restic that is there now: one that stumbles over a vanished lock is started again."""

    def struck() -> bool:
        strike(scene.restic())
        return True

    wait_until(struck, what="restic has got its signal", timeout=20, retry_on=(psutil.NoSuchProcess,))


def _restic(number: signal.Signals) -> Callable[[Scene], None]:
    return lambda scene: _strike_restic(lambda restic: scene.signal(restic, number), scene)


def _kill_guard(scene: Scene) -> None:
    """The runner's guard: the agent's parent."""
    agent = scene.agent()
    guard = agent.parent()
    assert guard is not None
    scene.signal(guard, signal.SIGKILL)


def _kill_restic_guard(scene: Scene) -> None:
    def strike(restic: psutil.Process) -> None:
        guard = restic.parent()
        assert guard is not None
        scene.signal(guard, signal.SIGKILL)

    _strike_restic(strike, scene)


def _kill_task(scene: Scene) -> None:
    """The process that has the runner; its agent ends by itself."""
    agent = scene.agent()
    scene.launcher.tasks[-1].kill()
    scene.tap.let_go()
    wait_until(lambda: not alive(agent), what="the agent of a killed task has ended", timeout=40)


def _mongod(number: signal.Signals, *, primary: bool = False) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        host = scene.primary() if primary else scene.host()
        mongod = scene.mongod(host)
        scene.names.append(host)
        mongod.send(number)
        if number == signal.SIGSTOP:
            scene.undo.append(mongod.resume)
            return
        scene.undo.append(lambda: scene.stage.cluster.start_member(host))
        wait_until(lambda: not mongod.running, what=f"{mongod.name} has ended", timeout=30)

    return act


def _step_down(scene: Scene) -> None:
    primary = scene.primary()
    component = scene.stage.cluster.component_of(primary)
    scene.names.append(primary)

    def asked() -> bool:
        # A refusal (no secondary is near enough yet) is no answer; a closed connection may be one.
        admin = scene.stage.cluster.admin_client(component.name, primary).admin
        try:
            admin.command({"replSetStepDown": 20, "secondaryCatchUpPeriodSecs": 5, "force": True})
        except PyMongoError:
            return not admin.command("hello").get("isWritablePrimary")
        return True

    wait_until(asked, what=f"{primary} has stepped down", retry_on=(PyMongoError,))
    scene.undo.append(component.wait_settled)


def _path(mode: str, *, status: int = 503) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        proxy = scene.proxy()
        scene.names.append(proxy.name)
        proxy.set(mode, status=status)  # type: ignore[arg-type]
        scene.undo.append(lambda: proxy.set("pass"))

    return act


def _store_is_full(scene: Scene) -> None:
    scene.stage.store.set_full(True)
    scene.undo.append(lambda: scene.stage.store.set_full(False))


def _pending_lock(scene: Scene) -> None:
    """The agent dies while its lock is asked for and not granted: it comes when nobody waits for it any more."""
    component = scene.stage.cluster.component_of(scene.host()).name
    admin = scene.stage.cluster.admin_client(component, scene.host()).admin
    data = {"failCommands": ["fsync"], "blockConnection": True, "blockTimeMS": 3000, "appName": "mongo-backup"}
    entered = admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data})["count"]
    agent = scene.agent()
    scene.tap.let_go()
    admin.command({"waitForFailPoint": "failCommand", "timesEntered": entered + 1, "maxTimeMS": 20_000})
    scene.signal(agent, signal.SIGKILL)


def _corrupt(folder: str) -> Callable[[Scene], None]:
    """Flip a byte in the middle of every object of a folder of the repository, until it is healed."""

    def act(scene: Scene) -> None:
        client, bucket = scene.stage.store.client(), scene.stage.store.bucket_name
        listed = client.list_objects_v2(Bucket=bucket, Prefix=f"shop/{folder}/").get("Contents", [])
        if not listed:
            raise TransientError(f"the repository has nothing in {folder}/ to damage")
        whole = {each["Key"]: client.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in listed}
        for key, body in whole.items():
            damaged = bytearray(body)
            damaged[len(body) // 2] ^= 0x01
            client.put_object(Bucket=bucket, Key=key, Body=bytes(damaged))

        def mend() -> None:
            for key, body in whole.items():
                client.put_object(Bucket=bucket, Key=key, Body=body)

        scene.undo.append(mend)

    return act


def _clock(name: str, seconds: int, reason: str, *, harmless: bool) -> Fault:
    """All agents of the run have a clock of their own, from the start."""
    before = ("env", f"{CLOCK}={seconds}")
    return Fault(name, lambda scene: None, reason, before=before, must_fail=not harmless, must_succeed=harmless)


KINDS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("agent SIGTERM", _agent(signal.SIGTERM), "SIGTERM|interrupted"),
        Fault("agent SIGKILL", _agent(signal.SIGKILL), "SIGKILL"),
        Fault("agent hangs", _agent(signal.SIGSTOP), LIMIT, limit_seconds=15),
        Fault("guard SIGKILL", _kill_guard, "guard|SIGTERM"),
        Fault("task SIGKILL", _kill_task, "task's process", separate=True),
        Fault("agent without time to undo", _pending_lock, "SIGKILL|not granted yet"),
        Fault("restic SIGTERM", _restic(signal.SIGTERM), "restic"),
        Fault("restic SIGKILL", _restic(signal.SIGKILL), "restic"),
        Fault("restic hangs", _restic(signal.SIGSTOP), f"{LIMIT}|restic", limit_seconds=20),
        Fault("restic's guard SIGKILL", _kill_restic_guard, "restic"),
        Fault("member SIGTERM", _mongod(signal.SIGTERM), SERVER),
        Fault("member SIGKILL", _mongod(signal.SIGKILL), SERVER),
        Fault("member hangs", _mongod(signal.SIGSTOP), f"{SERVER}|{LIMIT}", limit_seconds=40),
        Fault("primary SIGKILL", _mongod(signal.SIGKILL, primary=True), SERVER),
        Fault("primary hangs", _mongod(signal.SIGSTOP, primary=True), f"{SERVER}|{LIMIT}", limit_seconds=40),
        Fault("step-down", _step_down, SERVER),
        Fault("member cut off", _path("silent"), f"{SERVER}|{LIMIT}", limit_seconds=40),
        Fault("member resets", _path("refuse"), f"{SERVER}|{LIMIT}"),
        Fault("member slow", _path("slow"), SERVER, limit_seconds=60),
        Fault("store silent", _path("silent"), f"{LIMIT}|{STORE}", limit_seconds=40),
        Fault("store gone", _path("refuse"), f"{LIMIT}|{STORE}", limit_seconds=40),
        Fault("store says 500", _path("answer", status=500), f"{LIMIT}|{STORE}", limit_seconds=40),
        Fault("store says 503", _path("answer", status=503), f"{LIMIT}|{STORE}", limit_seconds=40),
        Fault("store slow", _path("slow"), f"{LIMIT}|{STORE}"),
        Fault("store full", _store_is_full, f"{LIMIT}|{STORE}", limit_seconds=40),
        Fault("damaged packs", _corrupt("data"), "damaged|restic", must_fail=True),
        Fault("damaged index", _corrupt("index"), "damaged|restic", must_fail=True),
        Fault("damaged snapshots", _corrupt("snapshots"), "damaged|restic", must_fail=True),
        _clock("clock 5 min ahead", 300, "no red run", harmless=True),
        _clock("clock 5 min behind", -300, "no red run", harmless=True),
        _clock("clock 1 h ahead", 3600, "clock is", harmless=False),
        _clock("clock 1 h behind", -3600, "clock is", harmless=False),
        Fault("gateway gone", _path("refuse"), "no red run"),
        Fault("gateway silent", _path("silent"), "no red run"),
    )
}
