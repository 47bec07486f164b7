"""Images decoded and resized once, kept on disk.

ls ~/.cache/img2img_hub
"""
