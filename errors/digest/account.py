"""Who met an error, as a number that does not tell who. Pure."""

from collections.abc import Mapping
from hashlib import blake2b

_ANY = "{{auto}}"  # SDKs ask for the sender's address
_NAMED_BY = ("id", "username", "email")
_ADDRESS_MEANT = frozenset({"javascript", "cocoa", "objc"})  # their SDKs rely on the sender's address


def account_of(event: Mapping[str, object], *, remote: str, salt: bytes) -> int | None:
    """The account as a signed 64-bit number, the same for the same account of a project; None: nobody is named.

    Reads the event as it came: what is hashed here is masked later.
    """
    user = event.get("user")
    if isinstance(user, str | int) and not isinstance(user, bool):
        user = {"id": user}
    if not isinstance(user, dict):
        user = {}
    for name in _NAMED_BY:
        value = user.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and (text := str(value).strip()):
            return _number(name, text.lower() if name == "email" else text, salt)
    address = user.get("ip_address")
    if address == _ANY or (not address and _infers(event)):
        address = remote
    return _number("ip", address, salt) if isinstance(address, str) and address else None


def _infers(event: Mapping[str, object]) -> bool:
    """Whether the SDK wants the sender's address taken for the account's."""
    sdk = event.get("sdk")
    settings = sdk.get("settings") if isinstance(sdk, dict) else None
    wish = settings.get("infer_ip") if isinstance(settings, dict) else None
    return wish == "auto" or (wish is None and str(event.get("platform")) in _ADDRESS_MEANT)


def _number(name: str, text: str, salt: bytes) -> int:
    known = f"{name}\0{text}".encode("utf-8", "replace")
    return int.from_bytes(blake2b(known, digest_size=8, key=salt[:64]).digest(), "big", signed=True)
