"""What networks learn from: losses, what discriminators are shown, and how networks are called.

python -c "import img2img_hub.objectives.losses as losses; help(losses)"
"""
