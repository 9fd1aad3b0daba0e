"""The one exception for input that physgen cannot work with."""


class InputError(ValueError):
    """Bad input, told in one line: what was expected, what came, and what to do.

    The command line prints the message without a traceback and exits with code 2.
    """
