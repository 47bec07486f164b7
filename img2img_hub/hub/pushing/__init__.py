"""The way to the Hub that may fail: in a process of its own, tried again with patience.

python -m img2img_hub push-model OUTPUT_DIR --repo_id user/maps
"""
