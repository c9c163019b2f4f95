"""Worker processes on one machine, as an executor: each keeps its kernel warm, and one that dies takes nothing along but its own task."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from sdxl_lab.errors import LabError

PATIENCE_S = 15.0
"""How long a worker that was interrupted, or has nothing left to do, may take to end; then it is killed."""

POLL_S = 0.5

GPU_FILES = ("nvidia*", "nvhost*", "kfd", "dxg")
"""In /dev, where Linux has a GPU that torch may find: to know it without torch, where there is none."""

_processes = get_context("spawn")  # a fork would copy this process's kernels, threads and locks


class WorkerLostError(LabError):
    """A worker process ended in the middle of a task."""


class Workers(Executor):
    """N processes that run what is submitted, one task each at a time; within a process all tasks run in the same thread.

    A process starts with its first task. One that dies is replaced, and only the task it was on fails. Leaving a `with` block by an exception,
    such as ctrl-C, interrupts what runs and cancels what waits. Workers end with this process, however it ends, and so do their kernels.

    Args:
        count: How many, 1 or more.
        accelerators: Values of CUDA_VISIBLE_DEVICES, dealt out to the workers in turn; looked up when left out. A single one is left alone.

    Raises:
        ValueError: `count` is below 1.
    """

    def __init__(self, count: int, *, accelerators: Sequence[str] | None = None) -> None:
        if count < 1:
            raise ValueError(f"got {count} workers, allowed is 1 or more")
        self._tasks: SimpleQueue[tuple[Future[Any], bytes] | None] = SimpleQueue()
        self._lock, self._closed = threading.Lock(), False
        devices = visible_gpus() if accelerators is None else list(accelerators)
        self._slots = [_Slot(_environment(number, count, devices)) for number in range(count)]
        self._threads = [threading.Thread(target=self._serve, args=(slot,), daemon=True) for slot in self._slots]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a function called in one of the processes.

        Args:
            fn: A function that can be pickled, as can its arguments and what it returns.
            *args: Its arguments.
            **kwargs: Its arguments by name.

        Returns:
            What becomes of it. Besides the function's own exceptions there are WorkerLostError, and CancelledError if it was interrupted.

        Raises:
            RuntimeError: The workers were shut down.
        """
        future: Future[Any] = Future()
        task = pickle.dumps((fn, args, kwargs))
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot submit to workers that were shut down")
            self._tasks.put((future, task))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of every executor
        """Take no more tasks, and end the processes once all are done.

        Args:
            wait: Return when the processes have ended.
            cancel_futures: Cancel what has not begun.
        """
        with self._lock:
            self._closed = True
            if cancel_futures:
                _cancel(self._tasks)
            for _ in self._threads:
                self._tasks.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        self.shutdown(wait=False, cancel_futures=kind is not None)
        if kind is not None:
            for slot in self._slots:
                slot.interrupt()
        self.shutdown(wait=True)

    def _serve(self, slot: _Slot) -> None:
        while (item := self._tasks.get()) is not None:
            future, task = item
            if future.set_running_or_notify_cancel():
                slot.run(task, future)
        slot.close()


class _Slot:
    """The place of one worker process, and of those that replace it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._process: Any = None
        self._lock = threading.Lock()
        self._busy, self._deadline = False, float("inf")

    def run(self, task: bytes, future: Future[Any]) -> None:
        try:
            if self._process is None or not self._process.is_alive():
                self._start()
            with self._lock:
                if self._deadline != float("inf"):
                    raise CancelledError
                self._connection.send_bytes(task)
                self._busy = True
            succeeded, value = self._answer()
        except BaseException as error:  # noqa: BLE001 - whatever happens, somebody waits for the future
            succeeded, value = False, error
        with self._lock:
            self._busy = False
        if succeeded:
            future.set_result(value)
        else:
            future.set_exception(value)

    def interrupt(self) -> None:
        """Interrupt what runs, as ctrl-C would, and begin nothing more; what can't be interrupted within a while is killed."""
        with self._lock:
            self._deadline = time.monotonic() + PATIENCE_S
            if self._busy:
                with suppress(ProcessLookupError):
                    os.kill(self._process.pid, signal.SIGINT)

    def close(self) -> None:
        """Let the process end by itself, which ends its kernel too."""
        if self._process is not None:
            self._connection.close()
            self._process.join(PATIENCE_S)
            self._end()

    def _start(self) -> None:
        self._end()
        connection, theirs = _processes.Pipe()
        # Nothing is ever sent through it: that it closes tells the worker, in the middle of a task too, that this process has ended.
        ended, lifeline = _processes.Pipe(duplex=False)
        process = _processes.Process(target=_work, args=(theirs, ended, self._environment), daemon=True)
        resource_tracker.ensure_running()  # which lets ctrl-C through to whatever this thread starts next
        # Also ctrl-C at this moment is for this process alone.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            process.start()
        except BaseException:
            connection.close()
            lifeline.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
            ended.close()
        self._process, self._connection, self._lifeline = process, connection, lifeline

    def _answer(self) -> tuple[bool, Any]:
        while not wait([self._connection, self._process.sentinel], timeout=POLL_S):
            if time.monotonic() > self._deadline:
                self._process.kill()
        try:
            return pickle.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            self._process.join()
            code, pid = self._process.exitcode, self._process.pid
            how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with {code}"
            raise WorkerLostError(f"worker process {pid} ended {how} in the middle of a task; submit the task again: a new worker takes it") from None

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.join()
        self._process.close()
        self._connection.close()
        self._lifeline.close()
        self._process = None


def _work(connection: Connection, lifeline: Connection, environment: Mapping[str, str]) -> None:
    """What a worker process does all its life."""
    os.setsid()  # ctrl-C in the terminal is for the parent, which passes it on
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ.update(environment)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    while True:
        try:
            task = connection.recv_bytes()
        except (EOFError, OSError):
            gc.freeze()  # else Python, as it ends, walks through all that was imported
            return
        answer = _call(task)
        try:
            connection.send_bytes(answer)
        except OSError:
            return


def _call(task: bytes) -> bytes:
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        function, args, kwargs = pickle.loads(task)
        return pickle.dumps((True, function(*args, **kwargs)))
    except KeyboardInterrupt:
        return pickle.dumps((False, CancelledError()))
    except Exception as error:  # noqa: BLE001 - it is raised where the future is asked
        error.add_note(f"In worker process {os.getpid()}:\n{traceback.format_exc()}")
        return _pickled(error)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _pickled(error: Exception) -> bytes:
    try:
        answer = pickle.dumps((False, error))
        pickle.loads(answer)  # some exceptions can be written but not read
    except Exception:  # noqa: BLE001
        return pickle.dumps((False, RuntimeError("".join(traceback.format_exception_only(error)))))
    return answer


def _end_with(lifeline: Connection) -> None:
    """End when the parent has; the task in hand is interrupted, so that its kernel is ended and its folder removed."""
    wait([lifeline])
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(PATIENCE_S)
    os._exit(1)


def _environment(number: int, count: int, accelerators: Sequence[str]) -> dict[str, str]:
    cores = available_cores()
    threads = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(max(cores // count, 1))}
    return threads | ({"CUDA_VISIBLE_DEVICES": accelerators[number % len(accelerators)]} if len(accelerators) > 1 else {})


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """Values of CUDA_VISIBLE_DEVICES, one for each GPU that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device for device in visible.split(",") if device]
    if sys.platform == "linux" and not any(next(Path("/dev").glob(name), None) for name in GPU_FILES):
        return []
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _cancel(tasks: SimpleQueue[tuple[Future[Any], bytes] | None]) -> None:
    while True:
        try:
            item = tasks.get_nowait()
        except Empty:
            return
        if item is not None:
            item[0].cancel()
            item[0].set_running_or_notify_cancel()
