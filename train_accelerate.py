#!/usr/bin/env python
"""Train an image-to-image translator on a Hub data set or a folder, on any number of devices.

accelerate launch train_accelerate.py pix2pix --dataset facades --side_by_side --direction BtoA --output_dir runs/a
accelerate launch train_accelerate.py cyclegan --dataset yosemite --output_dir runs/b
accelerate launch train_accelerate.py pix2pix --help

The same as `img2img_hub train …`, for `accelerate launch`, which starts a script on each device.
"""

import sys

from img2img_hub.cli import train

if __name__ == "__main__":
    sys.exit(train(sys.argv[1:], program="train_accelerate.py"))
