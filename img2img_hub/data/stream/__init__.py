"""Hub data sets read as they come.

accelerate launch train_accelerate.py pix2pix --dataset user/pairs --streaming
"""
