"""Which addresses Sysops connects to on somebody's behalf. Pure: no look-ups, no sockets.

A webhook is an address that a person typed, or that a name server made up: without this rule it reaches what only this
machine can reach (databases without a password, the cloud's credentials). SYSOPS_ALLOW_PRIVATE_TARGETS lifts it.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

REMEDY = "Set SYSOPS_ALLOW_PRIVATE_TARGETS=true to allow targets in your own network."

Address = IPv4Address | IPv6Address

# Never a target, whatever the setting says: they hand out the credentials of the machine. Azure's is a public address.
_METADATA = frozenset(
    {
        IPv4Address("169.254.169.254"),
        IPv4Address("169.254.170.2"),
        IPv4Address("169.254.170.23"),
        IPv4Address("168.63.129.16"),
        IPv4Address("100.100.100.200"),
        IPv4Address("192.0.0.192"),
        IPv6Address("fd00:ec2::23"),
        IPv6Address("fd00:ec2::254"),
        IPv6Address("fe80::a9fe:a9fe"),
        IPv6Address("fd20:ce::254"),
    }
)

_IPV4 = [
    (IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "an unspecified address"),
        ("10.0.0.0/8", "a private network"),
        ("100.64.0.0/10", "a network shared by a provider's customers"),
        ("127.0.0.0/8", "this machine itself"),
        ("169.254.0.0/16", "a link-local address"),
        ("172.16.0.0/12", "a private network"),
        ("192.0.0.0/24", "a reserved network"),
        ("192.0.2.0/24", "a network for documentation"),
        ("192.88.99.0/24", "a reserved network"),
        ("192.168.0.0/16", "a private network"),
        ("198.18.0.0/15", "a network for measurements"),
        ("198.51.100.0/24", "a network for documentation"),
        ("203.0.113.0/24", "a network for documentation"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved network"),
    )
]

_IPV6 = [
    (IPv6Network(network), what)
    for network, what in (
        ("::/128", "an unspecified address"),
        ("::1/128", "this machine itself"),
        ("fc00::/7", "a private network"),
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a private network"),
        ("ff00::/8", "a multicast address"),
        ("2001::/23", "a reserved network"),
        ("2001:db8::/32", "a network for documentation"),
        ("3fff::/20", "a network for documentation"),
    )
]
_IPV6_PUBLIC = IPv6Network("2000::/3")
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_6TO4 = IPv6Network("2002::/16")


class Refused(Exception):
    """Sysops does not connect there; the message names host and address, and the remedy where there is one."""

    def __init__(self, host: str, address: str, why: str) -> None:
        where = host if host == address else f"{host} ({address})"
        super().__init__(f"Sysops does not connect to {where}: {why}")
        self.host = host
        self.address = address


def check(host: str, address: str, *, allow_private: bool) -> None:
    """Do nothing when `address`, which `host` stands for, may be connected to. Raises Refused."""
    why = problem(address, allow_private=allow_private)
    if why:
        raise Refused(host, address, why)


def problem(address: str, *, allow_private: bool = False) -> str | None:
    """Why this address is not connected to, in words with the remedy, or None."""
    try:
        found = _carried(ip_address(address))
    except ValueError:
        return "it is no internet address."
    if found in _METADATA:
        return "it hands out the credentials of cloud machines; that is never a target."
    if allow_private:
        return None
    what = _not_public(found)
    return f"it is {what}. {REMEDY}" if what else None


def _carried(address: Address) -> Address:
    """The IPv4 address that an IPv6 form of it leads to, or the address itself, without its interface."""
    if isinstance(address, IPv4Address):
        return address
    number = int(address)  # without the interface of a link-local address
    plain = IPv6Address(number)
    if plain in _MAPPED or plain in _NAT64:
        return IPv4Address(number & 0xFFFFFFFF)
    if plain in _6TO4:
        return IPv4Address(number >> 80 & 0xFFFFFFFF)
    return plain


def _not_public(address: Address) -> str | None:
    if isinstance(address, IPv4Address):
        return next((what for network, what in _IPV4 if address in network), None)
    named = next((what for network, what in _IPV6 if address in network), None)
    return named or (None if address in _IPV6_PUBLIC else "a reserved network")
