"""What runs a generator besides PyTorch, and the files that it needs for that.

python -m img2img_hub export --model user/maps --output maps.onnx
"""
