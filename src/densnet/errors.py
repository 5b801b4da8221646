"""The base of every error that is told in one line."""


class DensnetError(Exception):
    """Something the user can mend; the message names it, its value and the remedy.

    Besides these only what the system refuses (OSError) is told in one line. Any other exception is a bug and keeps its traceback.
    """
