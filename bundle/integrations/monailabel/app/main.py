"""What ``monailabel start_server --app`` loads: here, through a link to this file, or as a copy where the package is
installed.
"""

import sys
from importlib import import_module
from pathlib import Path

package = Path(__file__).resolve().parents[3]
if (package / "integrations" / "monailabel" / "server_app.py").is_file():
    sys.path.insert(0, str(package.parent))
    name = package.name
else:
    name = "bundle"
VirtualDesApp = import_module(f"{name}.integrations.monailabel.server_app").VirtualDesApp
