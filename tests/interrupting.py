"""Ctrl-C in the middle of training."""

import signal

from physgen.train import Silent


class Stop(Silent):
    """Presses Ctrl-C once, in the first report."""

    def __init__(self):
        self.pressed = False

    def status(self, status):
        if not self.pressed:
            self.pressed = True
            signal.raise_signal(signal.SIGINT)
