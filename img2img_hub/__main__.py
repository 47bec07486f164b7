"""`python -m img2img_hub`: see cli/."""

import sys

from img2img_hub.cli import main

if __name__ == "__main__":
    sys.exit(main())
