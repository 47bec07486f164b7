"""What a finished generator needs on the Hub: its model card (model_card.py) and the way there (publish.py)."""
