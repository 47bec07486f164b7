"""What a run says, draws, measures, writes and pushes.

ls OUTPUT_DIR
"""
