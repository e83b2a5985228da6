"""The rules of binding as short stories: what happened on which thread, and whose call it is then.

A step is a verb and what it is about; requests are A, B, C (A2: another on A's connection), threads 1, 2, 3.
"""

from __future__ import annotations

import pytest

from rbinder.binder.context import SpanContext
from rbinder.binder.propagation import Inbound
from rbinder.binder.rules import TASK_NONE, TASK_UNKNOWN, Errand, Group, Request, Thread, dropped, finish

PEER = ("127.0.0.1", 80)
WORK: Errand = (PEER, b"GET", b"/work")
CHORE: Errand = (PEER, b"GET", b"/chore")


class Story:
    """Threads, requests and calls by their names."""

    def __init__(self, migrates: bool = False) -> None:
        self.group = Group(migrates)
        self.threads: dict[str, Thread] = {}
        self.requests: dict[str, Request] = {}
        self.now = 0  # ns

    def thread(self, name: str) -> Thread:
        return self.threads.setdefault(name, Thread(self.group))

    def request(self, name: str) -> Request:
        if name not in self.requests:
            connection = ord(name[0])
            span_id = name.encode().rjust(8, b"-")
            self.requests[name] = Request(SpanContext(bytes(16), span_id), Inbound(), connection, self.now)
        return self.requests[name]

    # -- what can happen: "<thread> <verb> <what>"

    def tell(self, story: str) -> None:
        for step in filter(None, (part.strip() for part in story.split(";"))):
            who, verb, *what = step.split()
            getattr(self, "_" + verb)(who, *what)

    def _reads(self, who: str, request: str) -> None:
        """The thread reads the request's head."""
        self.thread(who).listens()
        self.thread(who).begin(self.request(request))

    def _goes(self, who: str, on: str, reading: str, request: str) -> None:
        """The thread goes on reading the request's body."""
        self.thread(who).listens()
        self.thread(who).touch(self.request(request))

    def _calls(self, who: str, *what: str) -> None:
        """The thread makes a call; whoever it is for waits."""
        errand = CHORE if what == ("chore",) else WORK
        thread = self.thread(who)
        request = thread.cause(errand)
        thread.acts()
        thread.called(errand)
        if request is not None:
            request.waiting += 1

    def _gets(self, who: str, request: str, rest: str = "") -> None:
        """The thread reads the response to a call of the request's ("nobody": a call that was nobody's)."""
        found = None if request == "nobody" else self.request(request)
        self.thread(who).listens()
        self.thread(who).resume(found)
        if found is not None:
            found.waiting -= 1

    def _answers(self, who: str, request: str) -> None:
        """The response begins and ends."""
        self.group.answered_by(self.thread(who), self.request(request))
        finish(self.request(request), self.group)

    def _stands(self, who: str) -> None:
        """The thread answers as many requests that it has read as a trial takes."""
        for _ in range(8):
            name = chr(ord("a") + len(self.requests))
            self._reads(who, name)
            self._answers(who, name)

    def _loses(self, who: str, request: str) -> None:
        """The thread sees that the request's client has gone, and closes its connection."""
        found = self.request(request)
        self.thread(who).listens()
        self.thread(who).watches(found)
        self.group.lost(found, self.now)
        finish(found, self.group)

    def _drops(self, who: str, request: str) -> None:
        """The program gives up the request's call."""
        found = self.request(request)
        dropped(found, self.now)
        found.waiting -= 1

    def _waits(self, who: str, seconds: str) -> None:
        self.now += int(float(seconds) * 1e9)

    def _starts(self, who: str, other: str) -> None:
        """The thread starts another thread, or ("process 3") a process."""
        self.threads[other] = Thread(self.group)
        self.threads[other].inherit(self.thread(who))

    def _forks(self, who: str, other: str) -> None:
        self.threads[other] = Thread(Group(self.group.migrates))
        self.threads[other].inherit(self.thread(who))

    def _says(self, who: str, task: str) -> None:
        """The runtime says whom the thread works for: a request, "nobody" or "nothing"."""
        self.thread(who).task = self.task(task)

    def _asked(self, who: str, task: str) -> None:
        """It is asked of the call that comes next, and says so."""
        self.thread(who).asked = self.task(task)

    def _tells(self, who: str) -> None:
        """The thread's runtime says it of each call's connection."""
        self.thread(who).told = True

    def task(self, name: str) -> int:
        words = {"nobody": TASK_NONE, "nothing": TASK_UNKNOWN}
        return words[name] if name in words else self.request(name).task

    def _spares(self, who: str, count: str) -> None:
        """So many connections wait for their next call."""
        self.group.spare[PEER] = int(count)


# what happened; on which thread a call is made next; whose it is ("": a new trace)
STORIES = {
    # 0: the runtime's word
    "word: of a thread that read nothing": ("1 reads A; 2 says A", "2", "A"),
    "word: against the thread's own": ("1 reads A; 2 reads B; 1 says B", "1", "B"),
    "word: for nobody": ("1 reads A; 1 says nobody", "1", ""),
    "word: for what was answered": ("1 reads A; 2 reads B; 1 says A; 1 answers A", "1", ""),
    "word: for what was answered, and another came": ("1 reads A; 1 says A; 1 answers A; 1 reads B", "1", ""),
    "word: taken back": ("1 reads A; 2 reads B; 1 says B; 1 says nothing", "1", "A"),
    "word: on a loop where nobody waits": ("1 reads A; 1 reads B; 1 says A", "1", "A"),
    "word: of a call before that of its thread": ("1 reads A; 2 reads B; 1 says A; 1 asked B", "1", "B"),
    "word: of a call, for nobody": ("1 reads A; 1 says A; 1 asked nobody", "1", ""),
    "word: of a call, that it can't be said": ("1 reads A; 1 asked nothing", "1", "A"),
    "word: told of connections, and nothing of this one": ("1 reads A; 1 tells", "1", ""),
    # 1: a thread works for the request that it read
    "nothing was ever read": ("", "1", ""),
    "thread per request": ("1 reads A", "1", "A"),
    "two threads, two requests": ("1 reads A; 2 reads B", "1", "A"),
    "two threads, two requests, the other": ("1 reads A; 2 reads B", "2", "B"),
    "another thread reads nothing": ("1 reads A", "2", ""),
    "the second call": ("1 reads A; 1 calls; 1 gets A", "1", "A"),
    "a call while another is under way": ("1 reads A; 1 calls", "1", "A"),
    "the response has ended": ("1 reads A; 1 answers A", "1", ""),
    "it has ended with a call under way": ("1 reads A; 1 calls; 1 answers A; 1 gets A", "1", ""),
    "the next request on the thread": ("1 reads A; 1 answers A; 1 reads B", "1", "B"),
    "another thread answered it": ("1 reads A; 2 answers A", "1", ""),
    "handed over: who reads the body": ("1 reads A; 2 goes on reading A", "2", "A"),
    "handed over: who read the head": ("1 reads A; 2 goes on reading A", "1", ""),
    "handed over, another in its place": ("1 reads A; 2 goes on reading A; 1 reads B", "1", "B"),
    "the body of what is over": ("1 reads A; 1 answers A; 2 goes on reading A", "2", ""),
    # pipelined requests are answered in their order
    "pipelined: the first": ("1 reads A; 1 reads A2", "1", ""),
    "pipelined: the first waits": ("1 reads A; 1 reads A2; 1 answers A", "1", "A2"),
    "pipelined: both over": ("1 reads A; 1 reads A2; 1 answers A; 1 answers A2", "1", ""),
    # 2: a response puts its thread back to work
    "response": ("1 reads A; 1 calls; 1 gets A", "1", "A"),
    "response read by a thread that serves nothing": ("1 reads A; 1 calls; 2 gets A", "2", ""),
    "response read elsewhere changes nothing here": ("1 reads A; 1 calls; 2 gets A", "1", "A"),
    # 3: an event loop
    "loop: two requests, neither waits": ("1 reads A; 1 reads B", "1", ""),
    "loop: called at once": ("1 reads A; 1 calls; 1 reads B", "1", "B"),
    "loop: three, one doesn't wait": ("1 reads A; 1 calls; 1 reads B; 1 reads C", "1", ""),
    "loop: a response, with connections to spare": (
        "1 reads A; 1 calls; 1 reads B; 1 calls; 1 spares 2; 1 gets A",
        "1",
        "A",
    ),
    "loop: a response, and only the connection it came on": (
        "1 reads A; 1 calls; 1 reads B; 1 calls; 1 spares 1; 1 gets A",
        "1",
        "",
    ),
    "loop: a response, while the other doesn't wait": ("1 reads A; 1 calls; 1 reads B; 1 spares 2; 1 gets A", "1", ""),
    "loop: a response of nobody's": ("1 reads A; 1 calls; 1 reads B; 1 calls; 1 gets nobody", "1", ""),
    "loop: the body goes on": ("1 reads A; 1 calls; 1 reads B; 1 calls; 1 goes on reading A", "1", "A"),
    "loop: the last one left": ("1 reads A; 1 calls; 1 reads B; 1 answers B", "1", ""),
    "loop: the last one left goes on": ("1 reads A; 1 calls; 1 reads B; 1 answers B; 1 gets A", "1", "A"),
    "loop: one at a time": ("1 reads A; 1 answers A; 1 reads B; 1 calls; 1 gets B", "1", "B"),
    "loop: two calls in a row": ("1 reads A; 1 calls; 1 calls; 1 reads B", "1", ""),
    "loop: two calls in a row, of the only request": (
        "1 reads A; 1 reads B; 1 answers B; 1 goes on reading A; 1 calls; 1 calls",
        "1",
        "A",
    ),
    "loop: two calls in a row, for ever": (
        "1 reads A; 1 calls; 1 calls; 1 answers A; 1 reads B; 1 calls; 1 reads C",
        "1",
        "",
    ),
    "loop: two calls in a row, then one at a time": (
        "1 reads A; 1 calls; 1 calls; 1 answers A; 1 reads B",
        "1",
        "B",
    ),
    "loop: two calls, something read between": (
        "1 reads A; 1 calls; 1 gets A; 1 calls; 1 reads B; 1 calls; 1 reads C",
        "1",
        "C",
    ),
    "threads: two calls in a row": ("1 reads A; 1 calls; 1 calls; 2 reads B; 2 calls; 2 calls", "1", "A"),
    # 5: a loop's own errands
    "an errand, then while a loop serves": (
        "1 calls chore; 1 reads A; 1 calls; 1 reads B; 1 calls; 1 reads C",
        "1 chore",
        "",
    ),
    "an errand hides no other": (
        "1 calls chore; 1 reads A; 1 calls; 1 reads B; 1 calls; 1 reads C",
        "1",
        "C",
    ),
    "an errand doesn't hide the one that doesn't wait": ("1 calls chore; 1 reads A; 1 calls; 1 reads B", "1", "B"),
    "an errand of a thread that is no loop": ("1 calls chore; 1 reads A", "1 chore", "A"),
    # 6: a client has gone
    "gone: a loop may be at its request still": ("1 reads A; 1 loses A; 1 reads B", "1", ""),
    "gone: a loop that served both": ("1 reads A; 1 reads B; 1 loses A", "1", ""),
    "gone: what came a minute later": ("1 reads A; 1 loses A; 1 waits 61; 1 reads B", "1", "B"),
    "gone: what came before a minute was over": ("1 reads A; 1 loses A; 1 waits 59; 1 reads B; 1 waits 59", "1", ""),
    "gone: the thread of another": ("1 reads A; 2 reads B; 1 loses A", "2", "B"),
    "gone: by another thread's reading": ("1 reads A; 2 loses A; 1 reads B", "1", "B"),
    "gone: after its call was given up": ("1 reads A; 1 calls; 1 drops A; 1 loses A; 1 reads B", "1", "B"),
    "gone: and its call is given up": ("1 reads A; 1 calls; 1 loses A; 1 drops A; 1 reads B", "1", "B"),
    "gone: and its call is given up later": ("1 reads A; 1 calls; 1 loses A; 1 waits 1; 1 drops A; 1 reads B", "1", ""),
    "gone: long after its call was given up": (
        "1 reads A; 1 calls; 1 drops A; 1 waits 1; 1 loses A; 1 reads B",
        "1",
        "",
    ),
    "gone: one with its call, one before": (
        "1 reads A; 1 loses A; 1 reads B; 1 waits 1; 1 loses B; 1 drops B; 1 reads C",
        "1",
        "",
    ),
    "gone: who forks": ("1 reads A; 1 loses A; 1 reads B; 1 forks 2", "2", ""),
    # 7: what was started by a request's thread
    "forked": ("1 reads A; 1 forks 2", "2", "A"),
    "forked: the second call": ("1 reads A; 1 forks 2; 2 calls", "2", "A"),
    "forked: the parent goes on": ("1 reads A; 1 forks 2; 2 calls", "1", "A"),
    "forked: others are served": ("1 reads A; 1 forks 2; 3 reads B", "2", "A"),
    "forked before": ("1 forks 2; 1 reads A", "2", ""),
    "forked, over": ("1 reads A; 1 forks 2; 1 answers A", "2", ""),
    "forked by a loop": ("1 reads A; 1 reads B; 1 forks 2", "2", ""),
    "a new thread": ("1 reads A; 1 starts 2", "2", "A"),
    "a new thread's new thread": ("1 reads A; 1 starts 2; 2 starts 3", "3", ""),
    "a new thread: its first call alone": ("1 reads A; 1 starts 2; 2 calls", "2", ""),
    "a new thread, over": ("1 reads A; 1 starts 2; 1 answers A", "2", ""),
    "a new thread, another request since": ("1 reads A; 1 starts 2; 3 reads B", "2", ""),
    "a new thread while others are served": ("1 reads A; 3 reads B; 1 starts 2", "2", ""),
    "a new thread reads a request": ("1 reads A; 1 starts 2; 2 reads B", "2", "B"),
    "a new thread read one, and is done": ("1 reads A; 1 starts 2; 2 reads B; 2 answers B", "2", ""),
}

# 4: where the runtime moves tasks between threads
MIGRATING = {
    "one request": ("1 reads A", "2", "A"),
    "one request, another call": ("1 reads A; 2 calls; 3 gets A", "1", "A"),
    "two requests": ("1 reads A; 2 reads B", "1", ""),
    "two requests, one waits": ("1 reads A; 1 calls; 2 reads B", "2", ""),
    "two requests, one over": ("1 reads A; 2 reads B; 3 answers A", "1", "B"),
    "none": ("1 reads A; 1 answers A", "1", ""),
    "it calls by itself too": ("1 calls; 1 reads A", "1", ""),
    "it doesn't wait for its calls": ("1 reads A; 1 calls; 1 answers A; 1 reads B", "1", ""),
    "it waits for its calls": ("1 reads A; 1 calls; 1 gets A; 1 answers A; 1 reads B", "1", "B"),
    "a new thread": ("1 reads A; 1 starts 2; 2 reads B; 2 answers B", "2", "A"),
    "a client has gone": ("1 reads A; 2 loses A; 1 reads B", "1", ""),
    "a client has gone a minute ago": ("1 reads A; 2 loses A; 1 waits 60; 1 reads B", "1", "B"),
}


# 4: where that depends on the program; R and S read requests, P never does
ON_TRIAL = {
    "the only request": ("R reads A", "R", "A"),
    "the only request, and another thread, that may work for nobody": ("R reads A", "P", ""),
    "two requests": ("R reads A; S reads B", "R", ""),
    "one handed over to a thread that reads none": ("R reads A; S reads B; P answers A; R stands; R reads C", "R", "C"),
    "stood": ("R stands; R reads A; S reads B", "R", "A"),
    "stood, and one handed over to a thread that reads none": ("R stands; R reads A; S reads B; P answers A", "S", "B"),
    "stood, and another's is answered": ("R stands; R reads A; S reads B; S answers A; R reads C", "S", ""),
    "stood, and another's is answered: for good": (
        "R stands; R reads A; S reads B; S answers A; R reads C; S answers B; R stands; S reads D",
        "R",
        "",
    ),
}


def whose(told: Story, story: str, call: str) -> str:
    """The name of the request that a call is bound to."""
    told.tell(story)
    thread, _, errand = call.partition(" ")
    found = told.thread(thread).cause(CHORE if errand else WORK)
    return next((name for name, request in told.requests.items() if request is found), "")


@pytest.mark.parametrize(("story", "call", "request_name"), STORIES.values(), ids=list(STORIES))
def test_story(story: str, call: str, request_name: str) -> None:
    assert whose(Story(), story, call) == request_name


@pytest.mark.parametrize(("story", "call", "request_name"), MIGRATING.values(), ids=list(MIGRATING))
def test_story_where_tasks_migrate(story: str, call: str, request_name: str) -> None:
    assert whose(Story(migrates=True), story, call) == request_name


@pytest.mark.parametrize(("story", "call", "request_name"), ON_TRIAL.values(), ids=list(ON_TRIAL))
def test_story_where_threads_are_on_trial(story: str, call: str, request_name: str) -> None:
    told = Story()
    told.group.try_threads(lambda: False)
    assert whose(told, story, call) == request_name


def test_threads_that_carry_others_never_stand_the_trial() -> None:
    told = Story()
    told.group.try_threads(lambda: True)
    assert whose(told, "R stands; S reads A; R reads B", "R") == ""


@pytest.mark.parametrize("story", [story for story, _, _ in STORIES.values()], ids=list(STORIES))
def test_nothing_is_kept_of_what_is_over(story: str) -> None:
    """When every request has ended, no thread has one, and no call gets one."""
    told = Story()
    told.tell(story)
    for name in list(told.requests):
        told.tell(f"9 answers {name}")
    assert told.group.requests == []
    for thread in told.threads.values():
        assert thread.serving == []
        assert thread.cause(WORK) is None


def test_a_forked_process_that_reads_on_takes_the_request() -> None:
    """It is the child's then: the parent's process doesn't serve it any more."""
    story = Story()
    story.tell("1 reads A; 1 forks 2")
    request, child = story.requests["A"], story.threads["2"]
    child.touch(request)
    assert (story.group.requests, child.group.requests) == ([], [request])
    assert (story.thread("1").cause(WORK), child.cause(WORK)) == (None, request)
    finish(request, child.group)
    assert (child.group.requests, child.cause(WORK)) == ([], None)


def test_errands_are_bounded() -> None:
    story = Story()
    for number in range(10_000):
        story.thread("1").called((PEER, b"GET", b"/%d" % number))
    assert len(story.thread("1")._errands) <= 256
