"""A stack for tests: the real supervisor and servers, with small programs in the place of Sysops itself.

`python -m tests.stack.small_stack SPEC`: SPEC is JSON, a list of {name, code, order, …} for Program.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from sysops.env import Environment
from sysops.stack import up
from sysops.stack.programs import Program


def main() -> int:
    def programs(env: Environment, flower_socket: Path, environ: Mapping[str, str]) -> list[Program]:
        made = []
        for given in json.loads(sys.argv[1]):
            argv = [sys.executable, "-u", "-c", given.pop("code")]
            made.append(Program(given.pop("name"), argv, env=environ, **given))
        return made

    if "RUN_AS_UID" in os.environ and os.geteuid() == 0:
        os.setgroups([])
        os.setuid(int(os.environ["RUN_AS_UID"]))
    return up.main(make_programs=programs, one_shots=json.loads(os.environ.get("ONE_SHOTS", "[]")))


if __name__ == "__main__":
    sys.exit(main())
