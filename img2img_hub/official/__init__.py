"""Checkpoints of the papers' own PyTorch code, there and back.

python -m img2img_hub convert latest_net_G.pth --output maps
"""
