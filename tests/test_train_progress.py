import io
import re
import time

from training import regression, run, sgd, squared_error

from physgen.train import FitSettings, ProgressLine, Status
from physgen.words import rate


def test_progress_off_a_terminal_is_a_line_now_and_then():
    stream = io.StringIO()
    line = ProgressLine(stream, interval=1e9)
    for step in range(1, 100):
        line.status(Status(step, None if step < 5 else 100, 2.0, None, False))
        time.sleep(1e-4)
    line.status(Status(100, 100, 2.0, 0.5, True))
    line.note("by the way")
    first, last, note = stream.getvalue().splitlines()
    assert first == "step 1/?  running loss 2"
    assert re.fullmatch(r"step 100/100  running loss 2  validation 0\.5  \S+ steps/s", last)
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


def test_what_takes_long_before_the_first_step_is_said_before_it_is_done():
    """Tracing is a part of compiling: nothing is traced before the line is out."""
    stream, told = io.StringIO(), []

    def traced(function):
        def call(*arguments):
            told.append(stream.getvalue())
            return function(*arguments)

        return call

    run(
        FitSettings(batch_size=16, steps=4, patience=3),
        traced(sgd),
        evaluate=traced(lambda key, state, batch: squared_error(state, key, batch)),
        validation_data=regression(20, 1),
        report=ProgressLine(stream),
    )
    assert len(told) > 1 and set(told) == {"compiling the training step\n"}
    assert "\nstep 4/4" in stream.getvalue()


def test_a_run_that_was_over_compiles_nothing(tmp_path):
    told, settings = io.StringIO(), FitSettings(batch_size=16, steps=4)
    path = tmp_path / "checkpoint.h5"
    run(settings, checkpoint=path)
    run(settings, checkpoint=path, resume=True, report=ProgressLine(told))
    assert told.getvalue() == f"resuming {path} at step 4\n"


def test_a_slow_rate_is_a_time():
    assert rate(5.1234, "steps") == "5.12 steps/s"
    assert rate(40.0) == "40/s"
    assert rate(0.00809) == "124 s each"
