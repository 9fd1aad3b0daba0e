import io
import re
import time

from physgen.train import (
    ProgressLine,
    Status,
)


def test_progress_off_a_terminal_is_a_line_now_and_then():
    stream = io.StringIO()
    line = ProgressLine(stream, interval=1e9)
    for step in range(1, 100):
        line.status(Status(step, None if step < 5 else 100, 2.0, None, False))
        time.sleep(1e-4)
    line.status(Status(100, 100, 2.0, 0.5, True))
    line.note("by the way")
    first, last, note = stream.getvalue().splitlines()
    assert first == "step 1/?  loss 2"
    assert re.fullmatch(r"step 100/100  loss 2  validation 0\.5  \S+ steps/s", last)
    assert note == "by the way"


def test_progress_on_a_terminal_is_one_line():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    line = ProgressLine(stream)
    line.status(Status(10, 1000, 2.0, None, False))
    time.sleep(0.15)
    line.status(Status(20, 1000, 2.0, None, False))
    line.status(Status(1000, 1000, 2.0, None, True))
    text = stream.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n") and text.startswith("\r")
    assert re.search(r"step 20/1000 .* \d+:\d\d left", text)


def test_progress_smooths_the_loss():
    stream = io.StringIO()
    line = ProgressLine(stream, interval=0.0, smoothing=0.5)
    for step, loss in enumerate([4.0, 2.0]):
        line.status(Status(step, 10, loss, None, False))
    assert "loss 3" in stream.getvalue().splitlines()[-1]
