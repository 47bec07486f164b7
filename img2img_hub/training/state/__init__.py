"""What a run goes on from: weights, optimizers, averages, random states, and what it was started on.

ls OUTPUT_DIR/checkpoints
"""
