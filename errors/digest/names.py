"""Which names of fields hold secrets or addresses. Pure; decisions are remembered, because names repeat."""

import re

from errors.digest import bounds

PLAIN, SECRET, ADDRESS, LONG = 0, 1, 2, 3

_CONTAINED = (
    "password", "passwd", "passphrase", "passcode", "pwd", "secret", "token", "credential", "authorization", "cookie",
    "apikey", "accesskey", "privatekey", "signingkey", "encryptionkey", "authkey", "accountkey", "storagekey",
    "sharedkey", "sessionkey", "sessionid", "csrf", "xsrf", "jwt", "creditcard", "cardnumber", "cardno", "securitycode",
)  # fmt: skip
_WHOLE = frozenset(
    {"pass", "pw", "psw", "auth", "xauth", "session", "sid", "pin", "otp", "totp", "cvv", "cvc", "cvv2", "ssn", "iban"}
)
# As a name's last word: db_pass, smtpPass, not bypass.
_LAST = frozenset({"pass", "pw", "psw", "pin", "otp", "totp", "cvv", "cvc", "ssn"})
_LAST_WORD = re.compile(r"(?:[A-Z]?[a-z0-9]+|[A-Z0-9]+)\Z", re.ASCII)
_HARMLESS = frozenset(
    {
        "tokenizer", "tokentype", "tokencount", "tokens", "maxtokens", "totaltokens", "prompttokens",
        "completiontokens", "inputtokens", "outputtokens", "cachedtokens", "reasoningtokens", "maxnewtokens",
    }
)  # fmt: skip
_ADDRESSES = frozenset(
    {
        "ip", "ipaddress", "ipaddr", "clientip", "userip", "remoteip", "remoteaddr", "remoteaddress", "clientaddress",
        "xforwardedfor", "xrealip", "forwarded", "xclientip", "cfconnectingip", "trueclientip", "fastlyclientip",
        "xclusterclientip", "httpxforwardedfor", "httpxrealip", "httpforwarded", "httpclientip", "httpcfconnectingip",
    }
)  # fmt: skip
_REMEMBERED = 20_000


class Names(dict[str, int]):
    """`names[name]` says what a field of that name holds: PLAIN, SECRET, ADDRESS, or LONG for a name to be cut."""

    def __init__(self, fields: frozenset[str], *, personal: bool) -> None:
        super().__init__()
        self.contained = (*_CONTAINED, *sorted(bare for field in fields if (bare := bare_name(field))))
        self.own = frozenset(bare_name(field) for field in fields)
        self.personal = personal

    def __missing__(self, name: str) -> int:
        if len(name) > bounds.NAME:
            return LONG
        decision = self.decide(name)
        if len(self) >= _REMEMBERED:  # a flood of names must not fill the memory
            self.clear()
        self[name] = decision
        return decision

    def decide(self, name: str) -> int:
        """The decision for a name of any length, not remembered."""
        bare = bare_name(name)
        if bare in self.own or bare in _WHOLE:
            return SECRET
        last = _LAST_WORD.search(name[-8:])
        if last and last[0].lower() in _LAST:
            return SECRET
        if bare not in _HARMLESS:
            for part in self.contained:
                if part in bare:
                    return SECRET
        return ADDRESS if self.personal and bare in _ADDRESSES else PLAIN


def bare_name(name: str) -> str:
    """The name without case and punctuation: `X-Api_Key` and `xApiKey` are the same."""
    return "".join(filter(str.isalnum, name.casefold()))


_made: dict[tuple[frozenset[str], bool], Names] = {}


def names_of(fields: frozenset[str], *, personal: bool) -> Names:
    """The decisions for a project's own fields, the same object for the same fields."""
    key = (fields, personal)
    found = _made.get(key)
    if found is None:
        if len(_made) >= 500:
            _made.clear()
        found = _made[key] = Names(fields, personal=personal)
    return found
