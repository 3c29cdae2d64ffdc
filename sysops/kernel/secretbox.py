"""Text sealed with a key, so that a stolen database or backup does not hold secrets in the clear."""

import base64
from collections.abc import Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class CannotOpen(Exception):
    """No given key opens this text; the message says what that means and what to do."""


def seal(plain: str, *, keys: Sequence[str]) -> str:
    """`plain` encrypted and authenticated with the first key, as printable text."""
    return _box(tuple(keys)).encrypt(plain.encode()).decode()


def open_sealed(sealed: str, *, keys: Sequence[str]) -> str:
    """What was sealed with any of the keys. Raises CannotOpen, which never repeats the text."""
    try:
        return _box(tuple(keys)).decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise CannotOpen(
            "A stored secret cannot be decrypted: it was sealed with another key, or damaged. "
            "Put the older key into SYSOPS_PREVIOUS_SECRET_KEYS, or enter the secret again."
        ) from None


@lru_cache(maxsize=8)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        raise ValueError("At least one key is needed to seal or open")
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    # The label keeps this key apart from everything else derived from SECRET_KEY (sessions, signatures).
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"sysops.secretbox.v1")
    return base64.urlsafe_b64encode(derivation.derive(key.encode()))
