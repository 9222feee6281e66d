"""A module like Ray, as far as oddgan.engine uses it: tasks run in this process when they are asked for."""

from types import ModuleType, SimpleNamespace

import cloudpickle


class RayError(Exception):
    """Of Ray."""


class RayTaskError(RayError):
    """What a task raised."""

    def __init__(self, cause):
        super().__init__(str(cause))
        self.cause = cause


class WorkerCrashedError(RayError):
    """A worker died."""


class OutOfMemoryError(RayError):
    """A worker had too much memory."""


class FakeRay(ModuleType):
    """`dies`: what befalls the task of a number, an exception for each of its first tries; `stuck`: tasks that never
    end. The probe has no number here. Kept: `calls`, `cancelled`, `most` (tasks at a time), `down`."""

    def __init__(self, processors=2):
        super().__init__("ray")
        self.cloudpickle = cloudpickle
        self.exceptions = SimpleNamespace(
            RayError=RayError, RayTaskError=RayTaskError, OutOfMemoryError=OutOfMemoryError
        )
        self.processors, self.dies, self.stuck = processors, {}, set()
        self.calls, self.cancelled, self.started, self.options = [], [], [], {}
        self.most, self.down, self.refuses = 0, 0, None
        self.running = {}

    def is_initialized(self):
        return bool(self.started) and not self.down

    def init(self, **given):
        if self.refuses is not None:
            raise self.refuses
        self.started.append(given)
        self.down = 0

    def shutdown(self):
        self.down += 1

    def cluster_resources(self):
        return {"CPU": float(self.processors)}

    available_resources = cluster_resources

    def put(self, value):
        return SimpleNamespace(value=value)

    def remote(self, function):
        def options(**given):
            self.options = given
            return SimpleNamespace(remote=lambda *words: self._give(function, words))

        return SimpleNamespace(options=options)

    def _give(self, function, words):
        ref, number = object(), None if getattr(words[2], "__name__", "") == "_nothing" else words[3]
        self.running[ref] = (function, words, number)
        self.most = max(self.most, len(self.running))
        if number is not None:
            self.calls.append(number)
        return ref

    def wait(self, refs, num_returns, timeout):
        ready = [ref for ref in refs if self.running[ref][2] not in self.stuck]
        return ready[-num_returns:], []  # not in the order in which they were given out

    def get(self, ref, timeout):
        function, words, number = self.running.pop(ref)
        if self.dies.get(number):
            raise self.dies[number].pop(0)
        words = [getattr(word, "value", word) for word in words]
        try:
            # To another process and back, as Ray does.
            found = function(*self.cloudpickle.loads(self.cloudpickle.dumps(words)))
            return self.cloudpickle.loads(self.cloudpickle.dumps(found))
        except Exception as error:
            raise RayTaskError(error) from error

    def cancel(self, ref, force):
        assert force
        self.cancelled.append(self.running.pop(ref, None))
