"""What can go wrong while the stack starts, in one line with its remedy."""


class StackError(Exception):
    """The stack cannot start or go on; the message is one line that names the thing and the remedy."""
