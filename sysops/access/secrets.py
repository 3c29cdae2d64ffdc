"""The secret box with the keys of this installation."""

from django.conf import settings

from sysops.kernel import secretbox
from sysops.kernel.secretbox import CannotOpen

__all__ = ["CannotOpen", "open_sealed", "seal"]


def seal(plain: str) -> str:
    """`plain`, sealed with the present SECRET_KEY."""
    return secretbox.seal(plain, keys=_keys())


def open_sealed(sealed: str) -> str:
    """What was sealed with the present or a previous SECRET_KEY. Raises CannotOpen."""
    return secretbox.open_sealed(sealed, keys=_keys())


def _keys() -> list[str]:
    return [str(settings.SECRET_KEY), *map(str, settings.SECRET_KEY_FALLBACKS)]
