"""What docs/extending.md says is true: the engine printed there is installed as a package and used."""

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

DOC = Path(__file__).parents[2] / "docs" / "extending.md"
ROOT = DOC.parents[1]

USE = """
import sys
from pathlib import Path
from backups.engines.base import BackupJob, Control, Link, ProveJob, RestoreJob, SourceSpec, Tools, engines
from backups.rules import BackupType
from backups.stores.base import stores

folder = Path(sys.argv[1])
engine = engines.get("acme-sqlite")
source = SourceSpec("notes", {"path": str(folder / "notes.sqlite")})
tools = Tools((), None, folder)
control = Control(lambda progress: None, lambda: False, 60)
out = folder / "out"
out.mkdir()
engine.back_up(BackupJob(source, "1", BackupType.FULL, out, None, tools, control))
link = Link("1", BackupType.FULL, out, {})
(check,) = engine.prove(ProveJob(source, [link], [], tools, control))
engine.restore(RestoreJob(source, [link], folder / "attempt", folder / "back", False, [], tools, control))
print(check.outcome, stores.get("acme-local").__name__, (folder / "attempt" / "data.sqlite").exists())
"""


def package(folder: Path) -> Path:
    """A third party's package as pip leaves it behind: modules and the metadata with entry points."""
    code = re.search(r"```python\n# acme_sysops/sqlite.py\n(.*?)```", DOC.read_text(), re.S)
    assert code
    site = folder / "site"
    (site / "acme_sysops").mkdir(parents=True)
    (site / "acme_sysops" / "__init__.py").write_text("")
    (site / "acme_sysops" / "sqlite.py").write_text(code.group(1) + "\n\nengine = SQLiteEngine()\n")
    (site / "acme_sysops" / "store.py").write_text(
        "from backups.stores.local import LocalStore\n\nclass AcmeStore(LocalStore):\n    name = 'acme-local'\n"
    )
    info = site / "acme_sysops-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-sysops\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[sysops.backup_engines]\nacme-sqlite = acme_sysops.sqlite:engine\n\n"
        "[sysops.backup_stores]\nacme-local = acme_sysops.store:AcmeStore\n"
    )
    return site


def test_an_engine_and_a_store_of_another_package_are_found_and_work(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "notes.sqlite") as live:
        live.execute("CREATE TABLE notes (text)")
    path = os.pathsep.join([str(ROOT), str(package(tmp_path))])

    done = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=110,
    )

    assert done.stdout.split() == ["passed", "AcmeStore", "True"], done.stderr
