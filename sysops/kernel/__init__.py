"""Plain Python shared by every floor: no Django, no knowledge of the domain."""
