"""What the adapters share: a program that keeps the contract on the outside and is another balancer on the inside.

An adapter reads the contract's environment, writes the other balancer's configuration from it, opens the listening socket,
and then *becomes* the other balancer (exec): the process that a test measures, signals and limits is the real one, and no
Python stands between it and its clients. The socket is handed over open, because neither balancer can take "any free port"
and say which one it got.

A second process stays behind, the attendant. It says `listening on` once the balancer has put the socket into its event
loop, and waits for the balancer's end: nginx's workers would live on after their master was killed, so it ends the whole
process group and removes the files. Linux only: it finds the event loop in /proc.

What is wrong about the environment is refused by the adapter, with the words and the exit status of the contract; neither
balancer has a part in that.
"""
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "reference"))

import ch06 as contract  # noqa: E402 (the path comes first): the environment, read and judged, in Python


def milliseconds(seconds):
    return f"{seconds * 1000:.0f}ms"


def has_event_loop_with(pid, inode):
    """Does the process wait, by epoll, for the socket with this inode?"""
    try:
        for info in Path(f"/proc/{pid}/fdinfo").iterdir():
            for line in info.read_text().splitlines():
                if line.startswith("tfd:") and f"ino:{inode:x} " in line + " ":
                    return True
    except OSError:
        pass  # it has just ended, or has just closed a descriptor
    return False


def family(pid):
    """The process and its children: nginx's master does not accept, its workers do."""
    try:
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    except OSError:
        return []


def attend(balancer, inode, address, name, pipe):
    """The second process: makes the folder and tells its name, announces the balancer, waits for its end, and cleans up. It
    is there before there is anything to clean up: a test that gives up may end the adapter at any moment."""
    end = os.pidfd_open(balancer)
    os.setsid()  # out of the process group that is going to be ended
    folder = tempfile.mkdtemp(prefix=f"harbor-{name}-")
    try:
        os.write(pipe, folder.encode())
        os.close(pipe)
        while family(balancer) and not any(has_event_loop_with(pid, inode) for pid in family(balancer)):
            time.sleep(0.002)
        if family(balancer):
            print(f"listening on {address}", file=sys.stderr, flush=True)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)  # who waits for the end of the balancer's output does not wait for us
        import select  # here, because most runs of an adapter end before they get so far

        select.select([end], [], [])
        os.killpg(balancer, signal.SIGKILL)
    except (ProcessLookupError, BrokenPipeError):
        pass  # nobody is left
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def become(name, configure):
    """Reads the environment and turns into the balancer. `configure(config, listener, folder)` writes its files into the
    folder and returns its command line and what is to be added to its environment."""
    try:
        config = contract.read_config(os.environ)
        for backend in config.backends:
            contract.resolve(backend, "BACKENDS")
        family_of_address, address = contract.resolve(config.listen, "LB_ADDR")[0]
        if config.dev_seed:
            print("warning: BACKENDS is not set, and LB_ALLOW_DEV_SEED=1: using the development backends", file=sys.stderr)
        listener = contract.listen_on(family_of_address, address)
    except contract.ConfigError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{name}: {error.strerror}", file=sys.stderr)
        return 1
    if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        print(f"{name}: not installed; scripts/bootstrap --all installs it", file=sys.stderr)
        return 1

    os.set_inheritable(listener.fileno(), True)
    os.setpgid(0, 0)  # a process group of its own, for the end
    balancer, inode = os.getpid(), os.fstat(listener.fileno()).st_ino
    reading, writing = os.pipe()
    # Twice, so that the attendant is nobody's child: the balancer must not be told of its end, nor be measured with it.
    if os.fork() == 0:
        if os.fork() == 0:
            try:
                os.close(reading)
                listening = contract.Address(*listener.getsockname()[:2])
                listener.close()
                attend(balancer, inode, listening, name, writing)
            finally:
                os._exit(0)
        os._exit(0)
    os.wait()
    os.close(writing)
    with os.fdopen(reading) as pipe:
        folder = pipe.read()
    if not folder:
        print(f"{name}: there is no folder for its configuration", file=sys.stderr)
        return 1
    command, environment = configure(config, listener, Path(folder))
    os.execvpe(command[0], command, {**os.environ, **environment, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin"})
