"""Training: one loop that knows phases only, and what stands around it.

accelerate launch train_accelerate.py pix2pix --help
"""
