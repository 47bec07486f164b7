"""Benchmarks: each prints ratios measured side by side in one run.

python -m benchmarks.input_path; python -m benchmarks.train_step --data data/facades
"""
