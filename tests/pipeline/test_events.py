import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.events import FAILED, FINISHED, PROGRESS, STARTED, Event, EventWriter, read_events


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    with os.fdopen(reader, encoding="utf-8") as stream:
        yield stream, writer


def test_events_come_through_a_pipe_as_they_were_and_at_once(pipe):
    stream, descriptor = pipe
    writer = EventWriter(descriptor)
    received = read_events(stream)
    for event in (
        Event(STARTED, "Trainer"),
        Event(PROGRESS, "Trainer", "50% epoch 7 of 14"),
        Event(FAILED, "Trainer", 'line one\nline two\r\n\u2028 "Amélie" 映画', 12.5),
        Event(FINISHED, "Pusher", "version 3", 0.25, cached=True),
    ):
        writer.write(event)
        assert next(received) == event
    del writer
    assert list(received) == []


def test_an_event_is_a_line_of_json(pipe):
    stream, descriptor = pipe
    writer = EventWriter(descriptor)
    writer.write(Event(FINISHED, "Pusher", "version 3", 0.25, cached=True))
    assert stream.readline() == (
        '{"kind": "finished", "node": "Pusher", "text": "version 3", "seconds": 0.25, "cached": true}\n'
    )


def test_an_unfinished_last_line_is_dropped(pipe):
    stream, descriptor = pipe
    whole = '{"kind": "started", "node": "Trainer", "text": "", "seconds": 0.0, "cached": false}\n'
    os.write(descriptor, (whole + whole[:-1]).encode())  # even where only the line's end is missing
    os.close(descriptor)
    assert list(read_events(stream)) == [Event("started", "Trainer")]


def test_a_writer_that_says_nothing_ends_the_stream(pipe):
    stream, descriptor = pipe
    os.close(descriptor)
    assert list(read_events(stream)) == []


def test_writing_without_a_reader_is_no_error():
    code = """
import os
from pipeline.events import STARTED, Event, EventWriter
reader, descriptor = os.pipe()
writer = EventWriter(descriptor)
os.close(reader)
writer.write(Event(STARTED, "Trainer"))
writer.write(Event(STARTED, "Evaluator"))
print("went on", flush=True)
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "went on\n", "")


def test_an_event_s_defaults():
    event = Event(STARTED, "Trainer")
    assert (event.kind, event.text, event.seconds, event.cached) == ("started", "", 0.0, False)
